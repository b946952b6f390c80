"""What staff may do to an organization: each act with its form, its consequence in numbers, and its doing."""

from __future__ import annotations

import uuid
from abc import ABC, abstractmethod
from dataclasses import dataclass
from datetime import datetime
from typing import Any, ClassVar, TypeVar, cast

from django.db.models import Model
from django.http import Http404
from django.utils.formats import date_format
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from billing.errors import LedgerError, PaymentError, PlanError, PlanUnchanged
from billing.models import Debt, Hold, Payment, Transfer, WebhookDelivery
from billing.queries.balances import organization_balance
from billing.queries.debts import owed_mtok
from billing.queries.plans import find_plan, subscription
from billing.services.corrections import reverse_transfer
from billing.services.debts import forgive
from billing.services.fulfilment import fulfil
from billing.services.grants import give_tokens
from billing.services.plan_orders import end_paid_plan
from billing.services.refunds import preview_refund, request_refund
from billing.services.subscriptions import give_plan
from billing.services.webhooks import resend
from billing.views.plan_words import plan_differences
from billing.views.refunds import why_not_words
from detection.models import Job
from detection.services import interventions
from portal.staff.forms import GrantForm, PlanForm, ReasonForm, RefundForm
from portal.staff.queries import UNDER_WAY
from portal.templatetags.tokensight import token_number
from tenants.actors import Actor
from tenants.models import MailStatus, Organization, OutboxMail
from tenants.scope import organization_scope
from tenants.services import audit
from tenants.services.freezing import freeze_organization, unfreeze_organization
from tenants.services.outbox import try_again

Row = TypeVar("Row", bound=Model)


@dataclass(frozen=True)
class Doing:
    """Who does an act, why and when: what every service takes of it (`**doing.facts`)."""

    organization_id: uuid.UUID
    reason: str
    actor: Actor
    now: datetime

    @property
    def facts(self) -> dict[str, Any]:
        """Return the arguments that every service takes."""
        return {
            "organization_id": self.organization_id,
            "reason": self.reason,
            "actor": self.actor,
            "now": self.now,
        }


class Act(ABC):
    """One act on an organization or, where `has_target`, on a row of it. Raises Http404 when that does not exist."""

    title: ClassVar[str | Promise]
    button: ClassVar[str | Promise]
    form: ClassVar[type[ReasonForm]] = ReasonForm
    has_target: ClassVar[bool] = True
    danger: ClassVar[bool] = True

    def __init__(self, organization: Organization, target_id: uuid.UUID | None) -> None:
        if self.has_target != (target_id is not None):
            raise Http404
        self.organization = organization
        self.target_id = cast(uuid.UUID, target_id)

    @abstractmethod
    def consequence(self, form: ReasonForm, now: datetime) -> list[str]:
        """Return what will happen, in numbers. `form` is valid. Opens its own scope."""

    @abstractmethod
    def do(self, form: ReasonForm, doing: Doing) -> str:
        """Do it, and return in words what was done. Opens its own scope."""

    def target(self, model: type[Row], **conditions: Any) -> Row:
        """Return the row that the act is about, with these conditions."""
        with organization_scope(self.organization.id):
            row = model._default_manager.filter(id=self.target_id, **conditions).first()
        if row is None:
            raise Http404
        return row


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
        return _("%(name)s goes on.") % {"name": self.organization}


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


class ChangePlan(Act):
    title = gettext_lazy("Change the plan")
    button = gettext_lazy("Change it")
    form = PlanForm
    has_target = False

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
        try:
            end_paid_plan(organization_id=doing.organization_id, now=doing.now)
            given = give_plan(plan_key=form.cleaned_data["plan"], **doing.facts)
        except PlanUnchanged:
            return _("It is on this plan already: nothing happens.")
        except (PlanError, PaymentError) as error:
            return _("Nothing was changed: %(why)s") % {"why": error}
        return _("%(name)s is on the plan %(plan)s.") % {"name": self.organization, "plan": given.plan}


class ForgiveDebt(Act):
    title = gettext_lazy("Forgive a debt")
    button = gettext_lazy("Forgive it")

    def consequence(self, form: ReasonForm, now: datetime) -> list[str]:
        debt = self.target(Debt, outstanding=True)
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


class RefundPayment(Act):
    title = gettext_lazy("Refund a payment")
    button = gettext_lazy("Refund it")
    form = RefundForm

    def consequence(self, form: ReasonForm, now: datetime) -> list[str]:
        self.target(Payment)
        with organization_scope(self.organization.id):
            try:
                preview = preview_refund(
                    organization_id=self.organization.id,
                    payment_id=self.target_id,
                    mtok=form.cleaned_data["tokens"],
                    now=now,
                    by_staff=True,
                )
            except (LedgerError, PaymentError) as error:
                return [_("It will be refused: %(reason)s") % {"reason": why_not_words(error)}]
        return [
            _("%(tokens)s unspent Tokens of %(name)s go back at once, wherever they lie.")
            % {"tokens": token_number(preview.all_mtok), "name": self.organization},
            _("%(amount)s goes to %(method)s.") % {"amount": preview.amount, "method": preview.payment.method or "–"},
        ]

    def do(self, form: ReasonForm, doing: Doing) -> str:
        refund = request_refund(
            payment_id=self.target(Payment).id,
            mtok=form.cleaned_data["tokens"],
            idempotency_key=f"staff:{form.cleaned_data['key']}",
            by_staff=True,
            **doing.facts,
        )
        return _("The refund of %(amount)s: %(status)s.") % {
            "amount": refund.amount,
            "status": refund.get_status_display(),
        }


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
        return _("%(tokens)s Tokens went back.") % {"tokens": token_number(mtok)}


class ReleaseHold(Act):
    title = gettext_lazy("Release a stuck hold")
    button = gettext_lazy("Release")

    def consequence(self, form: ReasonForm, now: datetime) -> list[str]:
        hold = self.target(Hold)
        return [_("%(tokens)s Tokens are available again.") % {"tokens": token_number(hold.amount_mtok)}]

    def do(self, form: ReasonForm, doing: Doing) -> str:
        self.target(Hold)
        hold = interventions.release_hold(hold_id=self.target_id, **doing.facts)
        return _("%(tokens)s Tokens are available again.") % {"tokens": token_number(hold.amount_mtok)}


class RequeueJob(Act):
    title = gettext_lazy("Put a running job back into the queue")
    button = gettext_lazy("Put back")

    def consequence(self, form: ReasonForm, now: datetime) -> list[str]:
        job = self.target(Job)
        return [
            _("The worker %(worker)s loses the job, and another one runs it. Its %(tokens)s Tokens stay held.")
            % {"worker": job.worker or "–", "tokens": token_number(job.price_mtok)}
        ]

    def do(self, form: ReasonForm, doing: Doing) -> str:
        self.target(Job)
        interventions.requeue_job(job_id=self.target_id, **doing.facts)
        return _("The job waits again.")


class CancelJob(Act):
    title = gettext_lazy("Cancel a job")
    button = gettext_lazy("Cancel the job")

    def consequence(self, form: ReasonForm, now: datetime) -> list[str]:
        job = self.target(Job)
        return [
            _("The job ends without a result. %(tokens)s Tokens go back, 0 are charged.")
            % {"tokens": token_number(job.held_mtok)}
        ]

    def do(self, form: ReasonForm, doing: Doing) -> str:
        held = self.target(Job).held_mtok
        interventions.cancel_job(job_id=self.target_id, **doing.facts)
        return _("The job is cancelled, and %(tokens)s Tokens went back.") % {"tokens": token_number(held)}


class ResendMail(Act):
    title = gettext_lazy("Send a mail that was given up")
    button = gettext_lazy("Send again")
    danger = False

    def consequence(self, form: ReasonForm, now: datetime) -> list[str]:
        mail = self.target(OutboxMail, status=MailStatus.FAILED)
        return [
            _("1 mail goes to %(recipient)s, after %(attempts)d attempts that failed.")
            % {"recipient": mail.recipient, "attempts": mail.attempts}
        ]

    def do(self, form: ReasonForm, doing: Doing) -> str:
        mail = self.target(OutboxMail, status=MailStatus.FAILED)
        with organization_scope(self.organization.id):
            if try_again(mail_id=mail.id, now=doing.now):
                audit.record(
                    action="mail.resent",
                    target_kind="mail",
                    target_id=mail.id,
                    after={"kind": mail.kind},
                    **doing.facts,
                )
        return _("The mail to %(recipient)s waits to be sent.") % {"recipient": mail.recipient}


class ResendWebhook(Act):
    title = gettext_lazy("Send an event to a webhook again")
    button = gettext_lazy("Send again")
    danger = False

    def consequence(self, form: ReasonForm, now: datetime) -> list[str]:
        delivery = self.target(WebhookDelivery)
        return [
            _("1 event (%(event)s) goes to the endpoint again, after %(attempts)d attempts.")
            % {"event": delivery.event_type, "attempts": delivery.attempts}
        ]

    def do(self, form: ReasonForm, doing: Doing) -> str:
        delivery = self.target(WebhookDelivery)
        with organization_scope(self.organization.id):
            resend(delivery_id=delivery.id, actor=doing.actor, now=doing.now)
            audit.record(
                action="webhook.resent_by_staff",
                target_kind="webhook_delivery",
                target_id=delivery.id,
                after={"event": delivery.event_type},
                **doing.facts,
            )
        return _("The event waits to be sent.")


class LookAtPayment(Act):
    title = gettext_lazy("Ask Stripe about a payment again")
    button = gettext_lazy("Ask Stripe")
    danger = False

    def consequence(self, form: ReasonForm, now: datetime) -> list[str]:
        payment = self._payment()
        return [
            _("If Stripe says that %(money)s were paid as ordered, %(tokens)s Tokens are credited; otherwise nothing.")
            % {"money": payment.total, "tokens": token_number(payment.tokens_mtok)}
        ]

    def do(self, form: ReasonForm, doing: Doing) -> str:
        payment = self._payment()
        with organization_scope(self.organization.id):
            audit.record(
                action="payment.looked_up",
                target_kind="payment",
                target_id=payment.id,
                after={"kind": payment.kind},
                **doing.facts,
            )
        found = fulfil(checkout_session_id=payment.checkout_session_id, now=doing.now)
        if found.alarm:
            return _("It is still not as ordered, and nothing was credited.")
        return _("It is as Stripe has it now: %(state)s.") % {"state": found.get_status_display()}

    def _payment(self) -> Payment:
        payment = self.target(Payment)
        if not payment.checkout_session_id:
            raise Http404
        return payment


ACTS: dict[str, type[Act]] = {
    "grant": Grant,
    "plan": ChangePlan,
    "reverse": Reverse,
    "forgive-debt": ForgiveDebt,
    "refund": RefundPayment,
    "freeze": Freeze,
    "unfreeze": Unfreeze,
    "release-hold": ReleaseHold,
    "requeue-job": RequeueJob,
    "cancel-job": CancelJob,
    "resend-mail": ResendMail,
    "resend-webhook": ResendWebhook,
    "look-at-payment": LookAtPayment,
}
