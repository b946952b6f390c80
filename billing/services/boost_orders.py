"""Buying a boost. That it begins is `fulfilment`'s business: the moment that it is paid."""

from __future__ import annotations

import uuid
from datetime import datetime

from django.db import IntegrityError, transaction

from billing.enums import PaymentKind
from billing.errors import IdempotencyMismatch, PlanNotForSale, PlanUnknown
from billing.models import Boost, BoostOffer, Payment
from billing.queries.plans import subscription
from billing.services.topups import Buyer, open_page
from tenants.scope import organization_scope
from tenants.services import audit


def begin_boost(
    *, organization_id: uuid.UUID, offer_id: uuid.UUID, buyer: Buyer, idempotency_key: str = "", now: datetime
) -> Payment:
    """Begin to pay for a boost and return the payment, whose `checkout_url` is Stripe's page for it.

    With a key that was used before it is the payment of then. Opens scopes of its own and asks Stripe between them:
    call it outside of a transaction. Raises PlanUnknown (no such boost), PlanNotForSale (the plan has no ceiling that
    could be raised), IdempotencyMismatch, and what the gateway does; then the same may be tried again.
    """
    offer = BoostOffer.objects.filter(id=offer_id, active=True).first()
    if offer is None:
        raise PlanUnknown("There is no such boost on sale.")
    with organization_scope(organization_id):
        payment = _find_or_write(organization_id, offer, buyer, idempotency_key, now)
    return open_page(payment, description=f"× {offer.factor:g}, {offer.hours} h · Tokensight", buyer=buyer, now=now)


def _find_or_write(
    organization_id: uuid.UUID, offer: BoostOffer, buyer: Buyer, idempotency_key: str, now: datetime
) -> Payment:
    if idempotency_key and (earlier := _earlier(organization_id, idempotency_key, offer)):
        return earlier
    row = subscription()
    if row is None or not (row.plan.requests_per_second or row.plan.concurrency or row.plan.tokens_per_hour_mtok):
        raise PlanNotForSale("Your plan has no ceiling that a boost could raise.")
    try:
        with transaction.atomic():
            payment = Payment.objects.create(
                organization_id=organization_id,
                created_at=now,
                updated_at=now,
                kind=PaymentKind.BOOST,
                idempotency_key=idempotency_key,
                created_by=str(buyer.actor),
                tokens_mtok=0,
                currency=offer.currency,
                amount_minor=offer.price_minor,
                label=offer.name,
            )
            Boost.objects.create(
                organization_id=organization_id,
                created_at=now,
                name=offer.name,
                factor=offer.factor,
                hours=offer.hours,
                payment=payment,
            )
    except IntegrityError:
        # The same key at the same time: the other one was first, and is committed by now.
        raced = _earlier(organization_id, idempotency_key, offer)
        if raced is None:
            raise
        return raced
    audit.record(
        organization_id=organization_id,
        actor=buyer.actor,
        action="boost.asked",
        target_kind="payment",
        target_id=payment.id,
        after={"boost": offer.name, "price": payment.total},
        now=now,
    )
    return payment


def _earlier(organization_id: uuid.UUID, idempotency_key: str, offer: BoostOffer) -> Payment | None:
    payment = Payment.objects.filter(organization_id=organization_id, idempotency_key=idempotency_key).first()
    if payment is None:
        return None
    same = (payment.kind, payment.label, payment.currency) == (PaymentKind.BOOST, offer.name, offer.currency)
    if not same:
        raise IdempotencyMismatch("This Idempotency-Key was used for another payment.")
    return payment
