"""What staff may do to an organization's Tokens."""

from __future__ import annotations

from datetime import datetime
from typing import cast

from django.utils.formats import date_format
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from billing.errors import DebtUnknown
from billing.models import Debt, Hold, Transfer
from billing.queries.balances import organization_balance
from billing.queries.debts import owed_mtok
from billing.services.corrections import reverse_transfer
from billing.services.debts import forgive
from billing.services.grants import give_tokens
from detection.errors import NotStuck
from detection.services import interventions
from portal.staff.acts.base import Act, Doing
from portal.staff.acts.refusals import refusal_of_act, will_be_refused
from portal.staff.forms import GrantForm, ReasonForm
from portal.templatetags.tokensight import token_number
from tenants.scope import organization_scope


class Grant(Act):
    title = gettext_lazy("Give Tokens")
    button = gettext_lazy("Give them")
    form = GrantForm
    has_target = False
    danger = False

    def consequence(self, form: ReasonForm, now: datetime) -> list[str]:
        given: int = form.cleaned_data["tokens"]
        with organization_scope(self.organization.id):
            available = organization_balance(self.organization.id).available_mtok
        life = cast(GrantForm, form).life()
        return [
            _("%(name)s gets %(tokens)s Tokens: %(before)s available become %(after)s.")
            % {
                "name": self.organization,
                "tokens": token_number(given),
                "before": token_number(available),
                "after": token_number(available + given),
            },
            _("They never expire.")
            if life is None
            else _("They expire on %(day)s.") % {"day": date_format(now + life, "DATE_FORMAT")},
        ]

    def do(self, form: ReasonForm, doing: Doing) -> str:
        life = cast(GrantForm, form).life()
        grant = give_tokens(
            tokens_mtok=form.cleaned_data["tokens"],
            expires_at=None if life is None else doing.now + life,
            priority=form.cleaned_data["priority"],
            idempotency_key=f"staff:{form.cleaned_data['key']}",
            **doing.facts,
        )
        return _("%(tokens)s Tokens were given.") % {"tokens": token_number(grant.amount_mtok)}


class Reverse(Act):
    title = gettext_lazy("Correct a transfer")
    button = gettext_lazy("Reverse it")

    def consequence(self, form: ReasonForm, now: datetime) -> list[str]:
        transfer = self.target(Transfer)
        with organization_scope(self.organization.id):
            mtok = sum(entry.amount_mtok for entry in transfer.entries.all() if entry.amount_mtok > 0)
        return [
            _("At most %(tokens)s Tokens go back the way they came: those that are neither spent nor held.")
            % {"tokens": token_number(mtok)},
            _("The transfer stays as it was written; a reversal is written beside it."),
        ]

    def do(self, form: ReasonForm, doing: Doing) -> str:
        transfer = self.target(Transfer)
        key = f"staff:{form.cleaned_data['key']}"
        mtok = reverse_transfer(transfer_id=transfer.id, idempotency_key=key, **doing.facts)
        if not mtok:
            raise NotStuck(_("Nothing went back: it was reversed before, or its Tokens are spent or held."))
        return _("%(tokens)s Tokens went back.") % {"tokens": token_number(mtok)}


class ForgiveDebt(Act):
    title = gettext_lazy("Forgive a debt")
    button = gettext_lazy("Forgive it")

    def consequence(self, form: ReasonForm, now: datetime) -> list[str]:
        debt = self.target(Debt)
        if not debt.left_mtok:
            return will_be_refused(refusal_of_act(DebtUnknown()))
        with organization_scope(self.organization.id):
            left = owed_mtok(self.organization.id) - debt.left_mtok
        return [
            _("%(tokens)s Tokens are asked for no longer.") % {"tokens": token_number(debt.left_mtok)},
            _("%(name)s still owes %(tokens)s Tokens, and spends nothing until that is settled.")
            % {"name": self.organization, "tokens": token_number(left)}
            if left
            else _("Calls of %(name)s are accepted again.") % {"name": self.organization},
        ]

    def do(self, form: ReasonForm, doing: Doing) -> str:
        debt = self.target(Debt)
        with organization_scope(self.organization.id):
            mtok = forgive(debt_id=debt.id, **doing.facts)
        return _("%(tokens)s Tokens are forgiven.") % {"tokens": token_number(mtok)}


class ReleaseHold(Act):
    title = gettext_lazy("Release a stuck hold")
    button = gettext_lazy("Release")

    def consequence(self, form: ReasonForm, now: datetime) -> list[str]:
        hold = self.target(Hold)
        with organization_scope(self.organization.id):
            why = interventions.why_not_released(hold, now)
        if why:
            return will_be_refused(why)
        return [_("%(tokens)s Tokens are available again.") % {"tokens": token_number(hold.amount_mtok)}]

    def do(self, form: ReasonForm, doing: Doing) -> str:
        self.target(Hold)
        hold = interventions.release_hold(hold_id=self.target_id, **doing.facts)
        return _("%(tokens)s Tokens are available again.") % {"tokens": token_number(hold.amount_mtok)}
