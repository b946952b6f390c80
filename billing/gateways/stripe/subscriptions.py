"""Subscriptions: what an organization pays for its plan every month, as Stripe has it.

A plan is found by its price, which bears the plan's key; a price never changes once it is made.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

from django.conf import settings

from billing.gateways.stripe.checkout import CheckoutSession, read_session
from billing.gateways.stripe.client import asking, plain, reference
from billing.gateways.stripe.invoices import Invoice, read_invoice

EXPANDED = ["latest_invoice.payments"]
# Stripe's words for a subscription that gives what it is for, also while a renewal is not paid.
LIVE = {"active", "past_due", "trialing"}
# An organization has one at a time; more than a few within the weeks that are looked back at are a mistake.
LISTED = 20
OVER = {"canceled", "incomplete_expired", "unpaid"}


@dataclass(frozen=True)
class Price:
    """A price per month: of which plan, in minor units."""

    id: str
    plan_key: str
    currency: str
    amount_minor: int


@dataclass(frozen=True)
class StripeSubscription:
    """A subscription as Stripe has it now. `price` is what the next period costs.

    `pending` is what it changes to once `latest_invoice` is paid.
    """

    id: str
    organization: str
    customer_id: str
    status: str
    currency: str
    item_id: str
    price: Price
    starts_at: datetime
    ends_at: datetime
    ends_with_period: bool
    pending: Price | None
    latest_invoice: Invoice | None

    @property
    def is_live(self) -> bool:
        return self.status in LIVE


def create_price(*, price_id: uuid.UUID, plan_key: str, name: str, amount_minor: int, currency: str) -> str:
    """Make a monthly price at Stripe for one of ours, and return its id. Raises what `asking` does."""
    with asking() as stripe:
        made = stripe.v1.prices.create(
            {
                "currency": currency.lower(),
                "unit_amount": amount_minor,
                "recurring": {"interval": "month"},
                "product_data": {"name": f"Tokensight {name}"},
                "tax_behavior": "exclusive",
                "metadata": {"plan": plan_key},
            },
            {"idempotency_key": f"price-{price_id}-{amount_minor}"},
        )
    return str(made.id)


@lru_cache(maxsize=256)
def price(stripe_id: str) -> Price:
    """Return a price. Raises what `asking` does."""
    with asking() as stripe:
        return _price(plain(stripe.v1.prices.retrieve(stripe_id)))


def subscription(stripe_id: str) -> StripeSubscription:
    """Return a subscription as it is now. Raises what `asking` does; GatewayRefused when there is none."""
    with asking() as stripe:
        return _read(plain(stripe.v1.subscriptions.retrieve(stripe_id, {"expand": EXPANDED})))


def subscriptions_of(customer_id: str) -> list[str]:
    """Return the ids of a customer's latest subscriptions, those that are over too. Raises what `asking` does."""
    with asking() as stripe:
        found = plain(stripe.v1.subscriptions.list({"customer": customer_id, "status": "all", "limit": LISTED}))
    return [one["id"] for one in found["data"]]


def open_plan_session(
    *,
    key: str,
    organization_id: uuid.UUID,
    customer_id: str,
    price_id: str,
    language: str,
    success_url: str,
    cancel_url: str,
) -> CheckoutSession:
    """Open the hosted page on which a plan is subscribed to. Asked again with the same key it returns the same page."""
    marks = {"organization": str(organization_id)}
    params: dict[str, Any] = {
        "mode": "subscription",
        "customer": customer_id,
        "client_reference_id": str(organization_id),
        "metadata": marks,
        "subscription_data": {"metadata": marks},
        "line_items": [{"price": price_id, "quantity": 1}],
        "adaptive_pricing": {"enabled": False},
        "automatic_tax": {"enabled": settings.STRIPE_AUTOMATIC_TAX},
        "tax_id_collection": {"enabled": True},
        "customer_update": {"name": "auto", "address": "auto"},
        "locale": "zh" if language.startswith("zh") else "en",
        "success_url": success_url,
        "cancel_url": cancel_url,
    }
    with asking() as stripe:
        return read_session(plain(stripe.v1.checkout.sessions.create(params, {"idempotency_key": key})))  # type: ignore[arg-type]


def upgrade(*, key: str, found: StripeSubscription, price_id: str, prorated_at: datetime) -> StripeSubscription:
    """Change to a dearer price, the difference of the rest of the period being charged at once.

    Until that is paid nothing changes, and what was asked for is `pending`.
    """
    return _update(
        found,
        key,
        items=[{"id": found.item_id, "price": price_id}],
        proration_behavior="always_invoice",
        proration_date=int(prorated_at.timestamp()),
        payment_behavior="pending_if_incomplete",
    )


def change_next_price(*, key: str, found: StripeSubscription, price_id: str) -> StripeSubscription:
    """Let the next period cost another price; nothing is charged or given back for this one."""
    return _update(found, key, items=[{"id": found.item_id, "price": price_id}], proration_behavior="none")


def end_with_period(*, key: str, found: StripeSubscription, ends: bool) -> StripeSubscription:
    """Let a subscription end with its period, or go on."""
    return _update(found, key, cancel_at_period_end=ends)


def cancel(stripe_id: str, *, key: str) -> StripeSubscription:
    """End a subscription at once; nothing is charged or given back. One that is over stays so."""
    found = subscription(stripe_id)
    if found.status in OVER:
        return found
    with asking() as stripe:
        params: Any = {"invoice_now": False, "prorate": False, "expand": EXPANDED}
        return _read(plain(stripe.v1.subscriptions.cancel(stripe_id, params, {"idempotency_key": key})))


def preview_upgrade(*, found: StripeSubscription, price_id: str, prorated_at: datetime) -> Invoice:
    """Return the invoice that `upgrade` would bring, to the cent."""
    params: dict[str, Any] = {
        "customer": found.customer_id,
        "subscription": found.id,
        "subscription_details": {
            "items": [{"id": found.item_id, "price": price_id}],
            "proration_behavior": "always_invoice",
            "proration_date": int(prorated_at.timestamp()),
        },
        "automatic_tax": {"enabled": settings.STRIPE_AUTOMATIC_TAX},
    }
    with asking() as stripe:
        return read_invoice(plain(stripe.v1.invoices.create_preview(params)))  # type: ignore[arg-type]


def _update(found: StripeSubscription, key: str, **params: Any) -> StripeSubscription:
    params["expand"] = EXPANDED
    with asking() as stripe:
        return _read(plain(stripe.v1.subscriptions.update(found.id, params, {"idempotency_key": key})))  # type: ignore[arg-type]


def _read(found: Mapping[str, Any]) -> StripeSubscription:
    item = found["items"]["data"][0]
    latest = found.get("latest_invoice")
    waiting = ((found.get("pending_update") or {}).get("subscription_items") or [None])[0]
    return StripeSubscription(
        id=found["id"],
        organization=(found.get("metadata") or {}).get("organization", ""),
        customer_id=reference(found["customer"]),
        status=found["status"],
        currency=found["currency"].upper(),
        item_id=item["id"],
        price=_price(item["price"]),
        starts_at=datetime.fromtimestamp(item["current_period_start"], UTC),
        ends_at=datetime.fromtimestamp(item["current_period_end"], UTC),
        ends_with_period=bool(found.get("cancel_at_period_end")),
        pending=_price(waiting["price"]) if waiting else None,
        latest_invoice=read_invoice(latest) if isinstance(latest, dict) else None,
    )


def _price(found: Mapping[str, Any]) -> Price:
    return Price(
        id=found["id"],
        plan_key=(found.get("metadata") or {}).get("plan", ""),
        currency=found["currency"].upper(),
        amount_minor=found.get("unit_amount") or 0,
    )
