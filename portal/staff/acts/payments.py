"""What staff may do about an organization's payments."""

from __future__ import annotations

from datetime import datetime

from django.http import Http404
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from billing.errors import LedgerError, PaymentError
from billing.models import Payment
from billing.services.fulfilment import fulfil
from billing.services.refunds import preview_refund, request_refund
from detection.errors import NotStuck
from portal.staff.acts.base import Act, Doing
from portal.staff.acts.refusals import refusal_of_act, will_be_refused
from portal.staff.forms import ReasonForm, RefundForm
from portal.templatetags.tokensight import token_number
from tenants.scope import organization_scope
from tenants.services import audit


class RefundPayment(Act):
    title = gettext_lazy("Refund a payment")
    button = gettext_lazy("Refund it")
    form = RefundForm
    one_transaction = False

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
                return will_be_refused(refusal_of_act(error))
        return [
            _("%(tokens)s unspent Tokens of %(name)s go back at once, wherever they are.")
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


class LookAtPayment(Act):
    title = gettext_lazy("Ask Stripe about a payment again")
    button = gettext_lazy("Ask Stripe")
    danger = False
    one_transaction = False

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
            raise NotStuck(_("It is still not as ordered, and nothing was credited."))
        return _("It is as Stripe has it now: %(state)s.") % {"state": found.get_status_display()}

    def _payment(self) -> Payment:
        payment = self.target(Payment)
        if not payment.checkout_session_id:
            raise Http404
        return payment
