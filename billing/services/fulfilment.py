"""Tokens for money, exactly once.

`fulfil` is called by whoever hears that something was paid: the webhook, the page that a buyer comes back to, and the
reconciliation, as often and as much at once as they like. It looks at what Stripe says now, and credits under the
payment's own lock, so the order in which news arrive does not matter.
"""

from __future__ import annotations

import uuid
from datetime import datetime, timedelta

import structlog
from django.conf import settings

from billing.enums import GrantSource, PaymentKind, PaymentStatus
from billing.errors import PaymentUnknown
from billing.gateways.stripe import checkout
from billing.gateways.stripe.checkout import CheckoutSession
from billing.models import BillingCustomer, Grant, Payment
from billing.pricing import MTOK_PER_TOKEN
from billing.services.auto_top_up_states import after_payment
from billing.services.boosts import start_boost
from billing.services.code_purchases import redeem_for, release_for
from billing.services.grants import issue_grant
from tenants.actors import PLATFORM
from tenants.models import Organization
from tenants.queries.people import billing_people_of
from tenants.scope import organization_scope, platform_scope
from tenants.services import audit
from tenants.services.outbox import queue_mail_to

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
        # What a code takes off is taken off the price before Stripe is told of it.
        "amount": (payment.net_minor, session.subtotal_minor),
        "discount": (0, session.discount_minor),
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
    if payment.kind == PaymentKind.BOOST:
        start_boost(payment, now=now)
    else:
        payment.grant = _grant(payment, now)
    waited = payment.status != PaymentStatus.OPEN
    payment.status, payment.paid_at, payment.updated_at = PaymentStatus.PAID, now, now
    payment.tax_minor, payment.checkout_url = session.tax_minor, ""
    payment.failure_code, payment.alarm = "", ""
    payment.save()
    redeem_for(payment, now=now)
    after_payment(payment, now=now)
    audit.record(
        organization_id=payment.organization_id,
        actor=PLATFORM,
        action="top_up.paid",
        target_kind="payment",
        target_id=payment.id,
        after={"mtok": payment.tokens_mtok, "total": payment.total, "grant": payment.grant_id},
        now=now,
    )
    # Who pays by card is told by the page and by Stripe's receipt; who waited for a bank is on no page any more.
    if waited:
        _tell("payment_paid", payment, now)


def _grant(payment: Payment, now: datetime) -> Grant:
    return issue_grant(
        organization_id=payment.organization_id,
        tokens_mtok=payment.tokens_mtok,
        source=GrantSource.PURCHASE,
        idempotency_key=f"payment:{payment.id}",
        expires_at=None if payment.valid_days is None else now + timedelta(days=payment.valid_days),
        reason=payment.label,
        reference=str(payment.id),
        actor=payment.created_by,
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
    if status in {PaymentStatus.FAILED, PaymentStatus.EXPIRED}:
        release_for(payment, now=now)
    if status != before:
        after_payment(payment, now=now)
        audit.record(
            organization_id=payment.organization_id,
            actor=PLATFORM,
            action=NOTED[status],
            target_kind="payment",
            target_id=payment.id,
            after={"failure": session.failure_code} if session.failure_code else None,
            now=now,
        )
    if before == PaymentStatus.PROCESSING and status == PaymentStatus.FAILED:
        _tell("payment_failed", payment, now)


def _tell(kind: str, payment: Payment, now: datetime) -> None:
    """Owe everybody who may buy a mail about a payment, once."""
    organization = Organization.objects.get(id=payment.organization_id)
    queue_mail_to(
        billing_people_of(payment.organization_id),
        organization_id=payment.organization_id,
        kind=kind,
        context={
            "organization": organization.name,
            "tokens": f"{payment.tokens_mtok // MTOK_PER_TOKEN:,}",
            "boost": payment.label if payment.kind == PaymentKind.BOOST else "",
            "money": payment.total,
            "button_url": f"{settings.BASE_URL}/o/{organization.slug}/billing/payments/{payment.id}/",
        },
        dedupe_key=f"{kind}:{payment.id}",
        now=now,
    )
