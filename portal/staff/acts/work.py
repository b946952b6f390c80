"""What staff may do about jobs, mails and webhooks that are stuck."""

from __future__ import annotations

from datetime import datetime

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from billing.models import WebhookDelivery
from billing.services.webhooks import resend
from detection.errors import NotStuck
from detection.models import Job
from detection.services import interventions
from portal.staff.acts.base import Act, Doing
from portal.staff.acts.refusals import will_be_refused
from portal.staff.forms import ReasonForm
from portal.templatetags.tokensight import token_number
from tenants.models import MailStatus, OutboxMail
from tenants.scope import organization_scope
from tenants.services import audit
from tenants.services.outbox import try_again


class RequeueJob(Act):
    title = gettext_lazy("Put a running job back into the queue")
    button = gettext_lazy("Put back")

    def consequence(self, form: ReasonForm, now: datetime) -> list[str]:
        job = self.target(Job)
        if why := interventions.why_not_requeued(job):
            return will_be_refused(why)
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
    one_transaction = False

    def consequence(self, form: ReasonForm, now: datetime) -> list[str]:
        job = self.target(Job)
        if why := interventions.why_not_cancelled(job):
            return will_be_refused(why)
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
        mail = self.target(OutboxMail)
        if mail.status != MailStatus.FAILED:
            return will_be_refused(_not_given_up(mail))
        return [
            _("1 mail goes to %(recipient)s, after %(attempts)d attempts that failed.")
            % {"recipient": mail.recipient, "attempts": mail.attempts}
        ]

    def do(self, form: ReasonForm, doing: Doing) -> str:
        self.target(OutboxMail)
        with organization_scope(self.organization.id):
            mail = OutboxMail.objects.select_for_update().get(id=self.target_id)
            if mail.status != MailStatus.FAILED:
                raise NotStuck(_not_given_up(mail))
            try_again(mail_id=mail.id, now=doing.now)
            audit.record(
                action="mail.resent",
                target_kind="mail",
                target_id=mail.id,
                after={"kind": mail.kind},
                **doing.facts,
            )
        return _("The mail to %(recipient)s waits to be sent.") % {"recipient": mail.recipient}


def _not_given_up(mail: OutboxMail) -> str:
    return _("Only a mail that was given up is sent again; the status of this one: %(status)s.") % {
        "status": mail.get_status_display()
    }


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
