"""Payments as Stripe keeps them, whatever they were for: what the ledger is compared with."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from billing.gateways.stripe.checkout import CheckoutSession
from billing.gateways.stripe.checkout import session as checkout_session
from billing.gateways.stripe.client import asking, plain, reference

AT_ONCE = 100


@dataclass(frozen=True)
class StripePayment:
    """A payment intent. `received_minor` is what came in; `metadata` is what we wrote on it."""

    id: str
    status: str
    currency: str
    received_minor: int
    customer_id: str
    created: datetime
    metadata: Mapping[str, str] = field(default_factory=dict)

    @property
    def succeeded(self) -> bool:
        return self.status == "succeeded"


def payments_between(*, since: datetime, until: datetime) -> Iterator[StripePayment]:
    """Yield every payment that was begun in a time, page by page, the latest first. Raises what `asking` does."""
    after = ""
    while True:
        params: dict[str, Any] = {
            "limit": AT_ONCE,
            "created": {"gte": int(since.timestamp()), "lt": int(until.timestamp())},
        }
        if after:
            params["starting_after"] = after
        with asking() as stripe:
            page = plain(stripe.v1.payment_intents.list(params))  # type: ignore[arg-type]
        for found in page["data"]:
            yield _read(found)
        if not page["has_more"] or not page["data"]:
            return
        after = page["data"][-1]["id"]


def payment(payment_intent_id: str) -> StripePayment:
    """Return a payment as it is now. Raises what `asking` does; GatewayRefused when there is none."""
    with asking() as stripe:
        return _read(plain(stripe.v1.payment_intents.retrieve(payment_intent_id)))


def session_of(payment_intent_id: str) -> CheckoutSession | None:
    """Return the checkout session in which a payment was made, None if it was made in none."""
    with asking() as stripe:
        page = plain(stripe.v1.checkout.sessions.list({"payment_intent": payment_intent_id, "limit": 1}))
    return checkout_session(page["data"][0]["id"]) if page["data"] else None


def _read(found: Mapping[str, Any]) -> StripePayment:
    return StripePayment(
        id=found["id"],
        status=found["status"],
        currency=found["currency"].upper(),
        received_minor=found.get("amount_received") or 0,
        customer_id=reference(found.get("customer")),
        created=datetime.fromtimestamp(found["created"], UTC),
        metadata=dict(found.get("metadata") or {}),
    )
