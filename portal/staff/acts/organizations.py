"""What staff may do to an organization as a whole."""

from __future__ import annotations

from datetime import datetime

from django.http import Http404
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from billing.errors import PlanUnchanged
from billing.queries.plans import find_plan, subscription
from billing.services.plan_endings import end_paid_plan
from billing.services.subscriptions import give_plan
from billing.views.plan_words import plan_differences
from detection.models import Job
from portal.staff.acts.base import Act, Doing
from portal.staff.forms import PlanForm, ReasonForm
from portal.staff.queries import UNDER_WAY
from portal.templatetags.tokensight import token_number
from tenants.scope import organization_scope
from tenants.services.freezing import freeze_organization, unfreeze_organization


class Freeze(Act):
    title = gettext_lazy("Freeze the organization")
    button = gettext_lazy("Freeze")
    has_target = False

    def consequence(self, form: ReasonForm, now: datetime) -> list[str]:
        with organization_scope(self.organization.id):
            count = Job.objects.filter(UNDER_WAY).count()
        return [
            _("Every call and every change of %(name)s is refused from now on, in the console too.")
            % {"name": self.organization},
            ngettext(
                "%(count)d job that was accepted is finished and charged.",
                "%(count)d jobs that were accepted are finished and charged.",
                count,
            )
            % {"count": count},
        ]

    def do(self, form: ReasonForm, doing: Doing) -> str:
        freeze_organization(**doing.facts)
        return _("%(name)s is frozen.") % {"name": self.organization}


class Unfreeze(Act):
    title = gettext_lazy("Let the organization go on")
    button = gettext_lazy("Unfreeze")
    has_target = False
    danger = False

    def consequence(self, form: ReasonForm, now: datetime) -> list[str]:
        return [_("Calls and changes of %(name)s are accepted again.") % {"name": self.organization}]

    def do(self, form: ReasonForm, doing: Doing) -> str:
        unfreeze_organization(**doing.facts)
        return _("%(name)s is unfrozen.") % {"name": self.organization}


class ChangePlan(Act):
    title = gettext_lazy("Change the plan")
    button = gettext_lazy("Change it")
    form = PlanForm
    has_target = False
    one_transaction = False

    def consequence(self, form: ReasonForm, now: datetime) -> list[str]:
        plan = find_plan(form.cleaned_data["plan"])
        with organization_scope(self.organization.id):
            found = subscription()
        if found is None:
            raise Http404
        lines = [
            _("%(name)s changes from %(before)s to %(after)s at once.")
            % {"name": self.organization, "before": found.plan, "after": plan},
            *(
                _("%(what)s: %(before)s become %(after)s.") % {"what": what, "before": before, "after": after}
                for what, before, after in plan_differences(found.plan, plan)
            ),
        ]
        if plan.monthly_mtok:
            given = {"tokens": token_number(plan.monthly_mtok)}
            lines.append(_("It gets %(tokens)s Tokens now, which expire in a month.") % given)
        if found.stripe_id:
            lines.append(_("The subscription that is paid ends at once at Stripe; nothing of it is given back."))
        if found.plan_id == plan.id:
            lines = [_("It is on this plan already: nothing happens.")]
        return lines

    def do(self, form: ReasonForm, doing: Doing) -> str:
        plan = find_plan(form.cleaned_data["plan"])
        ended = end_paid_plan(plan_key=plan.key, **doing.facts)
        try:
            give_plan(plan_key=plan.key, **doing.facts)
        except PlanUnchanged:
            # What was paid has ended, which leads to the plan that costs nothing by itself.
            if not ended:
                raise
        return _("%(name)s is on the plan %(plan)s.") % {"name": self.organization, "plan": plan}
