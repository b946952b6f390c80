"""Saved cards: given on Stripe's page (Checkout in its mode `setup`), named here by Stripe's ids alone."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from billing.gateways.stripe.client import asking, plain, reference
from billing.gateways.stripe.customers import CustomerCard

MOST_CARDS = 20


@dataclass(frozen=True)
class SetupSession:
    """A session on which a card is saved, as Stripe has it now. `payment_method_id` is "" until it is."""

    id: str
    url: str
    status: str
    organization: str
    customer_id: str
    payment_method_id: str


def open_setup_session(
    *,
    organization_id: uuid.UUID,
    customer_id: str,
    key: str,
    language: str,
    success_url: str,
    cancel_url: str,
) -> SetupSession:
    """Open the hosted page on which a card is saved for payments that nobody is present at.

    `success_url` may contain {CHECKOUT_SESSION_ID}. The same `key` is the same page. Raises what `asking` does.
    """
    marks = {"organization": str(organization_id)}
    params: dict[str, Any] = {
        "mode": "setup",
        "allowed_payment_method_types": ["card"],
        "customer": customer_id,
        "metadata": marks,
        "setup_intent_data": {"metadata": marks},
        "locale": "zh" if language.startswith("zh") else "en",
        "success_url": success_url,
        "cancel_url": cancel_url,
    }
    with asking() as stripe:
        options: Any = {"idempotency_key": f"setup-{key}"}
        return _session(plain(stripe.v1.checkout.sessions.create(params, options)))  # type: ignore[arg-type]


def setup_session(session_id: str) -> SetupSession:
    """Return such a session as it is now. Raises what `asking` does; GatewayRefused when there is none."""
    with asking() as stripe:
        return _session(plain(stripe.v1.checkout.sessions.retrieve(session_id, {"expand": ["setup_intent"]})))


def cards_of(customer_id: str) -> list[CustomerCard]:
    """Return a customer's saved cards, the newest first. Raises what `asking` does."""
    with asking() as stripe:
        found = plain(stripe.v1.payment_methods.list({"customer": customer_id, "type": "card", "limit": MOST_CARDS}))
    return [_card(method) for method in found["data"]]


def set_default_card(*, customer_id: str, payment_method_id: str) -> None:
    """Make a saved card the one that invoices are paid with. Raises what `asking` does."""
    with asking() as stripe:
        stripe.v1.customers.update(customer_id, {"invoice_settings": {"default_payment_method": payment_method_id}})


def forget_card(payment_method_id: str) -> None:
    """Take a card from its customer: it cannot be charged any more, and cannot come back. Raises what `asking` does."""
    with asking() as stripe:
        stripe.v1.payment_methods.detach(payment_method_id)


def _session(found: Mapping[str, Any]) -> SetupSession:
    intent = found.get("setup_intent")
    intent = intent if isinstance(intent, dict) else {}
    saved = intent.get("status") == "succeeded"
    return SetupSession(
        id=found["id"],
        url=found.get("url") or "",
        status=found.get("status") or "",
        organization=(found.get("metadata") or {}).get("organization", ""),
        customer_id=reference(found.get("customer")),
        payment_method_id=reference(intent.get("payment_method")) if saved else "",
    )


def _card(method: Mapping[str, Any]) -> CustomerCard:
    card = method["card"]
    return CustomerCard(method["id"], card["brand"], card["last4"], card["exp_month"], card["exp_year"])
