"""Customers: who an organization is to Stripe. Names, addresses and tax ids stay there; we only show them."""

from __future__ import annotations

import hashlib
import uuid
from dataclasses import dataclass
from typing import Any

from billing.gateways.stripe.client import asking, plain, reference


@dataclass(frozen=True)
class CustomerCard:
    """A saved card, as far as anybody but Stripe knows it."""

    payment_method_id: str
    brand: str
    last4: str
    expires_month: int
    expires_year: int


@dataclass(frozen=True)
class Customer:
    """What Stripe knows of an organization. `address` are its lines; `tax_ids` are pairs of kind and value."""

    id: str
    name: str
    email: str
    address: tuple[str, ...]
    country: str
    tax_ids: tuple[tuple[str, str], ...]
    card: CustomerCard | None
    deleted: bool = False


def create_customer(*, organization_id: uuid.UUID, name: str, email: str, language: str) -> str:
    """Make a customer for an organization and return its id. Raises what `asking` does."""
    said = hashlib.sha256(f"{name}\n{email}\n{language}".encode()).hexdigest()[:16]
    with asking() as stripe:
        customer = stripe.v1.customers.create(
            {
                "name": name,
                "email": email,
                "preferred_locales": ["zh" if language.startswith("zh") else "en"],
                "metadata": {"organization": str(organization_id)},
            },
            # The same key with other words would be refused.
            {"idempotency_key": f"customer-{organization_id}-{said}"},
        )
    return str(customer.id)


def customer(stripe_id: str) -> Customer:
    """Return what Stripe knows of a customer now. Raises what `asking` does."""
    with asking() as stripe:
        found = plain(
            stripe.v1.customers.retrieve(stripe_id, {"expand": ["tax_ids", "invoice_settings.default_payment_method"]})
        )
    if found.get("deleted"):
        return Customer(stripe_id, "", "", (), "", (), None, deleted=True)
    address = found.get("address") or {}
    lines = ("line1", "line2", "postal_code", "city", "state", "country")
    tax_ids = (found.get("tax_ids") or {}).get("data") or []
    return Customer(
        id=stripe_id,
        name=found.get("name") or "",
        email=found.get("email") or "",
        address=tuple(address[line] for line in lines if address.get(line)),
        country=address.get("country") or "",
        tax_ids=tuple((tax_id["type"], tax_id["value"]) for tax_id in tax_ids),
        card=_card((found.get("invoice_settings") or {}).get("default_payment_method")),
    )


def details_page(*, stripe_id: str, return_url: str) -> str:
    """Return the address of Stripe's page on which a customer changes name, address, tax ids and cards."""
    with asking() as stripe:
        session = stripe.v1.billing_portal.sessions.create({"customer": stripe_id, "return_url": return_url})
    return str(session.url)


def _card(method: Any) -> CustomerCard | None:
    if not isinstance(method, dict) or not method.get("card"):
        return None
    card = method["card"]
    return CustomerCard(reference(method), card["brand"], card["last4"], card["exp_month"], card["exp_year"])
