"""Buying for real, from the stand-in, and hearing what it tells."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

from django.utils import timezone

from billing.gateways.stripe.events import read_payload
from billing.models import Payment, StripeEvent
from billing.queries.top_ups import offer_of_amount
from billing.services import stripe_events
from billing.services.fulfilment import fulfil
from billing.services.topups import Buyer, begin_top_up
from tenants.actors import user_actor
from tenants.identifiers import new_id
from tenants.models import Organization
from tenants.scope import organization_scope, platform_scope
from tests.factories.billing import make_wallet
from tests.stripe_standin import PAID, StandIn

BUYER = Buyer(user_actor(new_id(), "alice@alpha.example"), "alice@alpha.example", "en")


def buy(standin: StandIn, organization: Organization, tokens: int = 1_000, *, number: str = PAID) -> Payment:
    """Buy so many Tokens (CNY, at least 100) with a card, and let them arrive."""
    make_wallet(organization)
    with organization_scope(organization.id):
        offer = offer_of_amount(tokens_mtok=tokens * 1000, currency="CNY")
    now = timezone.now()
    payment = begin_top_up(
        organization_id=organization.id, offer=offer, buyer=BUYER, idempotency_key=str(new_id()), now=now
    )
    assert standin.pay(payment.checkout_url, number).went_on
    return fulfil(checkout_session_id=payment.checkout_session_id, now=timezone.now())


def hear(events: Iterable[dict[str, Any]], *, now: datetime | None = None) -> None:
    """Receive these events, in this order, and process what is due."""
    moment = now or timezone.now()
    for event in events:
        stripe_events.receive(event=read_payload(event), now=moment)
    later = moment + timedelta(seconds=1)
    stripe_events.process_due_events(clock=lambda: later)


def failures() -> list[str]:
    """Return what went wrong with events."""
    with platform_scope("test"):
        return [f"{event.type}: {event.last_error}" for event in StripeEvent.objects.filter(status="failed")]


def charge_of(standin: StandIn, payment: Payment) -> str:
    """Return the charge by which a payment was paid."""
    return standin.client().v1.payment_intents.retrieve(payment.payment_intent_id).latest_charge  # type: ignore[return-value]
