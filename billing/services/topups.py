"""Beginning to buy Tokens, and giving it up. That Tokens come is `fulfilment`'s business."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.conf import settings
from django.db import IntegrityError, transaction

from billing.enums import PaymentKind, PaymentStatus
from billing.errors import GatewayRefused, IdempotencyMismatch, PaymentClosed, PaymentUnknown, TooManyPayments
from billing.gateways.stripe import checkout
from billing.models import Payment
from billing.pricing import MTOK_PER_TOKEN
from billing.queries.top_ups import Offer
from billing.services.code_purchases import is_code_of, release_for, reserve_code
from billing.services.customers import ensure_customer
from billing.services.fulfilment import settle
from tenants.actors import Actor
from tenants.models import Organization
from tenants.scope import organization_scope
from tenants.services import audit

# So many payments of an organization may be begun in an hour and not paid: who tries cards needs many more.
MOST_UNPAID, UNPAID_SINCE = 30, timedelta(hours=1)


@dataclass(frozen=True)
class Buyer:
    """Who buys: for the log, and for Stripe's customer, page and receipt."""

    actor: Actor
    email: str
    language: str


def begin_top_up(
    *, organization_id: uuid.UUID, offer: Offer, buyer: Buyer, code: str = "", idempotency_key: str = "", now: datetime
) -> Payment:
    """Begin to pay for an offer and return the payment, whose `checkout_url` is Stripe's page for it.

    A `code` that counts with a purchase is reserved for it. With a key that was used before it is the payment of then,
    wherever that has come to meanwhile: one payment, one page, however often and at once this is called. Opens scopes
    of its own and asks Stripe between them: call it outside of a transaction. Raises IdempotencyMismatch (the key was
    used for something else), TooManyPayments, what `reserve_code` raises, and what the gateway does; then the same may
    be tried again.
    """
    with organization_scope(organization_id):
        payment = _find_or_write(organization_id, offer, buyer, code, idempotency_key, now)
    return open_page(payment, description=f"{_tokens(payment.tokens_mtok)} · Tokensight", buyer=buyer, now=now)


def open_page(payment: Payment, *, description: str, buyer: Buyer, now: datetime) -> Payment:
    """Open Stripe's page for a payment that has none yet, and return the payment.

    Opens scopes of its own and asks Stripe between them: call it outside of a transaction. Raises what the gateway
    does; then the same may be tried again.
    """
    if payment.checkout_session_id or payment.status != PaymentStatus.OPEN:
        return payment
    organization_id = payment.organization_id
    with organization_scope(organization_id):
        slug = Organization.objects.values_list("slug", flat=True).get(id=organization_id)
    customer_id = ensure_customer(organization_id=organization_id, email=buyer.email, language=buyer.language, now=now)
    page = f"{settings.BASE_URL}/o/{slug}/billing/payments/{payment.id}/"
    session = checkout.open_payment_session(
        payment_id=payment.id,
        organization_id=organization_id,
        customer_id=customer_id,
        name=payment.label or _tokens(payment.tokens_mtok),
        description=description,
        amount_minor=payment.net_minor,
        currency=payment.currency,
        language=buyer.language,
        success_url=f"{page}?back=paid",
        cancel_url=f"{page}?back=cancelled",
    )
    with organization_scope(organization_id):
        Payment.objects.filter(id=payment.id, checkout_session_id="").update(
            checkout_session_id=session.id,
            checkout_url=session.url,
            expires_at=session.expires_at,
            updated_at=now,
        )
        payment.refresh_from_db()
    return payment


def cancel_top_up(*, organization_id: uuid.UUID, payment_id: uuid.UUID, actor: Actor, now: datetime) -> Payment:
    """Close the page of a payment that was begun, so that nobody can pay on it any more; return the payment.

    If it was paid meanwhile it is fulfilled instead, and the payment says so. Opens scopes of its own and asks Stripe
    between them. Raises PaymentUnknown, PaymentClosed (it was over before), and what the gateway does.
    """
    payment = find_payment(organization_id=organization_id, payment_id=payment_id)
    if payment.status != PaymentStatus.OPEN:
        raise PaymentClosed("This payment is over or on its way; it cannot be cancelled.")
    if not payment.checkout_session_id:
        with organization_scope(organization_id):
            Payment.objects.filter(id=payment_id, status=PaymentStatus.OPEN, checkout_session_id="").update(
                status=PaymentStatus.EXPIRED, updated_at=now
            )
            payment.refresh_from_db()
            release_for(payment, now=now)
            return payment
    try:
        session = checkout.expire_session(payment.checkout_session_id)
    except GatewayRefused:
        # It was paid, or ended, between the look and the closing.
        session = checkout.session(payment.checkout_session_id)
    settled = settle(session=session, now=now)
    if settled.status == PaymentStatus.EXPIRED:
        with organization_scope(organization_id):
            audit.record(
                organization_id=organization_id,
                actor=actor,
                action="top_up.cancelled",
                target_kind="payment",
                target_id=payment_id,
                now=now,
            )
    return settled


def find_payment(*, organization_id: uuid.UUID, payment_id: uuid.UUID) -> Payment:
    """Return a payment of the organization. Opens its own scope. Raises PaymentUnknown."""
    with organization_scope(organization_id):
        payment = Payment.objects.filter(organization_id=organization_id, id=payment_id).first()
    if payment is None:
        raise PaymentUnknown("There is no such payment.")
    return payment


def _find_or_write(
    organization_id: uuid.UUID, offer: Offer, buyer: Buyer, code: str, idempotency_key: str, now: datetime
) -> Payment:
    if idempotency_key and (earlier := _earlier(organization_id, idempotency_key, offer, code)):
        return earlier
    unpaid = Payment.objects.filter(
        organization_id=organization_id, created_at__gt=now - UNPAID_SINCE, kind=PaymentKind.TOPUP
    ).exclude(status__in=[PaymentStatus.PAID, PaymentStatus.PROCESSING])
    if unpaid.count() >= MOST_UNPAID:
        raise TooManyPayments("Too many payments were begun and not paid within an hour; try again later.")
    try:
        with transaction.atomic():
            payment = Payment.objects.create(
                organization_id=organization_id,
                created_at=now,
                updated_at=now,
                idempotency_key=idempotency_key,
                created_by=str(buyer.actor),
                tokens_mtok=offer.tokens_mtok,
                currency=offer.currency,
                amount_minor=offer.amount_minor,
                package_id=offer.package_id,
                label=offer.name,
                valid_days=offer.valid_days,
                models=list(offer.models),
            )
            if code:
                reserve_code(payment=payment, typed=code, actor=buyer.actor, now=now)
    except IntegrityError:
        # The same key at the same time: the other one was first, and is committed by now.
        raced = _earlier(organization_id, idempotency_key, offer, code)
        if raced is None:
            raise
        return raced
    audit.record(
        organization_id=organization_id,
        actor=buyer.actor,
        action="top_up.begun",
        target_kind="payment",
        target_id=payment.id,
        after={"mtok": offer.tokens_mtok, "price": offer.price, "package": offer.name},
        now=now,
    )
    return payment


def _earlier(organization_id: uuid.UUID, idempotency_key: str, offer: Offer, code: str) -> Payment | None:
    payment = Payment.objects.filter(organization_id=organization_id, idempotency_key=idempotency_key).first()
    if payment is None:
        return None
    # The price may have changed since, and stays what it was; what is bought may not.
    same = (payment.package_id, payment.currency) == (offer.package_id, offer.currency)
    if offer.package_id is None and payment.tokens_mtok != offer.tokens_mtok:
        same = False
    if not same or not is_code_of(payment, code):
        raise IdempotencyMismatch("This Idempotency-Key was used for another payment.")
    return payment


def _tokens(mtok: int) -> str:
    return f"{mtok // MTOK_PER_TOKEN:,} Tokens"
