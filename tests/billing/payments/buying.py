"""Buying as people and programs do it, against the stand-in, for the tests of this folder."""

from __future__ import annotations

from typing import Any

from django.test import Client
from django.utils import timezone

from billing.enums import Currency
from billing.models import Grant, Payment
from billing.queries.top_ups import offer_of_amount
from billing.services import topups
from billing.services.stripe_events import process_due_events
from tenants.actors import PLATFORM
from tenants.models import Organization
from tenants.scope import organization_scope
from tests.stripe_standin import StandIn, signed

HOOK = "/webhooks/stripe"


def begin(organization: Organization, tokens: int = 1000, *, currency: str = Currency.CNY, key: str = "") -> Payment:
    """Begin a payment; its page is open at the stand-in."""
    return topups.begin_top_up(
        organization_id=organization.id,
        offer=offer_of_amount(tokens_mtok=tokens * 1000, currency=currency),
        buyer=topups.Buyer(PLATFORM, "buyer@alpha.example", "en"),
        idempotency_key=key,
        now=timezone.now(),
    )


def post_event(event: dict[str, Any], **signing: Any) -> Any:
    """Send an event to the webhook as Stripe does."""
    body, signature = signed(event, **signing)
    return post_raw(body, signature)


def post_raw(body: bytes, signature: str) -> Any:
    return Client(raise_request_exception=False).post(
        HOOK, body, content_type="application/json", headers={"Stripe-Signature": signature}
    )


def deliver(standin: StandIn, *kinds: str) -> int:
    """Deliver the stand-in's events so far, process them, and return how many there were."""
    events = standin.events(*kinds)
    for event in events:
        assert post_event(event).status_code == 200
    process_due_events()
    return len(events)


def grants_of(organization: Organization) -> list[Grant]:
    with organization_scope(organization.id):
        return list(Grant.objects.order_by("id"))
