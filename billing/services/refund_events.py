"""What Stripe tells of refunds and disputes: a handler for each kind of object (billing/services/stripe_events.py).

Each asks Stripe for the present state, outside of any transaction, and returns what is to be done inside of one. What
is about payments that are none of ours (the account may serve others) is ignored.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

from billing.enums import PaymentStatus
from billing.errors import PaymentUnknown
from billing.gateways.stripe import disputes, refunds
from billing.gateways.stripe.events import IncomingEvent
from billing.models import Payment
from billing.services.disputes import keep_dispute
from billing.services.fulfilment import fulfil
from billing.services.refund_news import keep_refund, payment_of
from tenants.scope import organization_scope

Effect = Callable[[datetime], Any]


def refund_event(event: IncomingEvent) -> Effect | None:
    """Make of news about a refund where it is now."""
    found = refunds.refund(event.payload["data"]["object"]["id"])
    if not _is_ours(found.payment_intent_id, found.intent_metadata.get("payment", ""), event.created):
        return None
    return lambda now: keep_refund(found=found, now=now)


def charge_refunded_event(event: IncomingEvent) -> Effect | None:
    """Make of news that something of a charge went back where all its refunds are now."""
    intent = event.payload["data"]["object"].get("payment_intent") or ""
    if not intent:
        return None
    found = refunds.refunds_of(payment_intent_id=intent)
    marked = (event.payload["data"]["object"].get("metadata") or {}).get("payment", "")
    if not found or not _is_ours(intent, marked, event.created):
        return None

    def effect(now: datetime) -> None:
        for one in reversed(found):
            keep_refund(found=one, now=now)

    return effect


def dispute_event(event: IncomingEvent) -> Effect | None:
    """Make of news about a dispute where it is now."""
    found = disputes.dispute(event.payload["data"]["object"]["id"])
    if not _is_ours(found.payment_intent_id, found.intent_metadata.get("payment", ""), event.created):
        return None
    return lambda now: keep_dispute(found=found, now=now)


def _is_ours(payment_intent_id: str, marked: str, now: datetime) -> bool:
    """Return whether money belongs to a payment of ours; one whose own news have not come yet is fulfilled first."""
    try:
        organization_id, payment_id = payment_of(payment_intent_id, marked)
    except PaymentUnknown:
        if marked:
            raise
        return False
    with organization_scope(organization_id):
        payment = Payment.objects.get(id=payment_id)
    if payment.status != PaymentStatus.PAID and payment.checkout_session_id:
        fulfil(checkout_session_id=payment.checkout_session_id, now=now)
    return True
