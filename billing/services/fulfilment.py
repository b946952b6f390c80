"""Tokens for money, exactly once.

`fulfil` is called by whoever hears that something was paid: the webhook, the page that a buyer comes back to, and the
reconciliation, as often and as much at once as they like. It looks at what Stripe says now, and credits under the
payment's own lock, so the order in which news arrive does not matter.
"""

from __future__ import annotations

import uuid
from datetime import datetime, timedelta

import structlog

from billing.enums import GrantSource, PaymentStatus
from billing.errors import PaymentUnknown
from billing.gateways.stripe import checkout
from billing.gateways.stripe.checkout import CheckoutSession
from billing.models import BillingCustomer, Payment
from billing.services.grants import issue_grant
from tenants.actors import PLATFORM
from tenants.scope import organization_scope, platform_scope
from tenants.services import audit

log = structlog.get_logger(__name__)

# What the payment of a closed session is when its money did not come (of Stripe's words for it).
LOST = {"requires_payment_method", "canceled"}
NOTED = {
    PaymentStatus.PROCESSING: "top_up.processing",
    PaymentStatus.FAILED: "top_up.failed",
    PaymentStatus.EXPIRED: "top_up.expired",
}


def fulfil(*, checkout_session_id: str, now: datetime) -> Payment:
    """Bring the payment of a checkout session to where Stripe has it now; credit its Tokens if it is paid.

    Asks Stripe first: call it outside of a transaction. Otherwise as `settle`. Raises what the gateway does, too.
    """
    return settle(session=checkout.session(checkout_session_id), now=now)


def settle(*, session: CheckoutSession, now: datetime) -> Payment:
    """Bring a payment to where its session is, and return it: the Tokens come in the same transaction as `paid`.

    Exactly one grant, however many do this at once. A payment that was paid stays so; one that was given up is still
    fulfilled if its money comes late. Where the session is not what was asked for (other amount, currency, customer or
    organization) nothing is credited: the payment's `alarm` says why, for staff. Opens its own scope; locks the
    payment, then the wallet and the issued account. Raises PaymentUnknown: there is no such payment.
    """
    organization_id, payment_id = _whose(session)
    with organization_scope(organization_id):
        payment = Payment.objects.select_for_update(of=("self",)).get(id=payment_id)
        if payment.status == PaymentStatus.PAID:
            _describe(payment, session, now)
            return payment
        why = _why_not(payment, session)
        if why:
            _raise_alarm(payment, why, session, now)
            return payment
        payment.checkout_session_id = session.id
        _describe(payment, session, now)
        if session.is_paid:
            _credit(payment, session, now)
        else:
            _note(payment, session, now)
    return payment


def _whose(session: CheckoutSession) -> tuple[uuid.UUID, uuid.UUID]:
    """Return the organization and the payment that a session is about: by our reference, and by nothing else."""
    try:
        payment_id = uuid.UUID(session.reference)
    except ValueError:
        raise PaymentUnknown(f"The session {session.id} is about no payment of ours.") from None
    with platform_scope("find the payment of a checkout session"):
        found = Payment.objects.filter(id=payment_id).values_list("organization_id", flat=True).first()
    if found is None:
        raise PaymentUnknown(f"The session {session.id} is about a payment that is not here.")
    return found, payment_id


def _why_not(payment: Payment, session: CheckoutSession) -> str:
    """Return what about a session is not as it was asked for; "" if all is."""
    customer_id = BillingCustomer.objects.values_list("stripe_id", flat=True).first()
    asked = {
        "session": (payment.checkout_session_id or session.id, session.id),
        "organization": (str(payment.organization_id), session.metadata.get("organization", "")),
        "customer": (customer_id or "", session.customer_id),
        "currency": (payment.currency, session.currency),
        "amount": (payment.amount_minor, session.subtotal_minor),
        "discount": (payment.discount_minor, session.discount_minor),
        "total": (payment.net_minor + session.tax_minor, session.total_minor),
    }
    return "; ".join(
        f"{name}: {asked_for} asked, {said} at Stripe" for name, (asked_for, said) in asked.items() if asked_for != said
    )


def _raise_alarm(payment: Payment, why: str, session: CheckoutSession, now: datetime) -> None:
    log.error("payment_mismatch", payment=str(payment.id), session=session.id, why=why)
    payment.alarm, payment.updated_at = why[:300], now
    payment.save(update_fields=["alarm", "updated_at"])


def _describe(payment: Payment, session: CheckoutSession, now: datetime) -> None:
    """Take over what Stripe tells of a payment; some of it, as the invoice, comes after the money."""
    facts = {
        "payment_intent_id": session.payment_intent_id,
        "charge_id": session.charge_id,
        "invoice_id": session.invoice_id,
        "invoice_number": session.invoice_number,
        "invoice_url": session.invoice_url,
        "invoice_pdf": session.invoice_pdf,
        "receipt_url": session.receipt_url,
        "method": session.method,
    }
    news = {name: value for name, value in facts.items() if value and not getattr(payment, name)}
    for name, value in news.items():
        setattr(payment, name, value)
    if news:
        payment.updated_at = now
        payment.save(update_fields=[*news, "updated_at"])


def _credit(payment: Payment, session: CheckoutSession, now: datetime) -> None:
    expires_at = None if payment.valid_days is None else now + timedelta(days=payment.valid_days)
    payment.grant = issue_grant(
        organization_id=payment.organization_id,
        tokens_mtok=payment.tokens_mtok,
        source=GrantSource.PURCHASE,
        idempotency_key=f"payment:{payment.id}",
        expires_at=expires_at,
        reason=payment.label,
        reference=str(payment.id),
        actor=payment.created_by,
        now=now,
    )
    payment.status, payment.paid_at, payment.updated_at = PaymentStatus.PAID, now, now
    payment.tax_minor, payment.checkout_url = session.tax_minor, ""
    payment.failure_code, payment.alarm = "", ""
    payment.save()
    audit.record(
        organization_id=payment.organization_id,
        actor=PLATFORM,
        action="top_up.paid",
        target_kind="payment",
        target_id=payment.id,
        after={"mtok": payment.tokens_mtok, "total": payment.total, "grant": payment.grant_id},
        now=now,
    )


def _note(payment: Payment, session: CheckoutSession, now: datetime) -> None:
    """Keep how far a payment is whose money is not there."""
    if session.status == "expired":
        status = PaymentStatus.EXPIRED
    elif session.status == "complete":
        status = PaymentStatus.FAILED if session.intent_status in LOST else PaymentStatus.PROCESSING
    else:
        # Still open; what was heard of it later stays.
        status = PaymentStatus(payment.status)
    if status == payment.status and session.failure_code == payment.failure_code and not payment.alarm:
        return
    before, payment.status, payment.updated_at = payment.status, status, now
    payment.failure_code, payment.alarm = session.failure_code, ""
    if status in {PaymentStatus.FAILED, PaymentStatus.EXPIRED}:
        payment.checkout_url = ""
    payment.save()
    if status != before:
        audit.record(
            organization_id=payment.organization_id,
            actor=PLATFORM,
            action=NOTED[status],
            target_kind="payment",
            target_id=payment.id,
            after={"failure": session.failure_code} if session.failure_code else None,
            now=now,
        )
