"""Invoices of subscriptions: what one period, or the rest of one, costs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from billing.gateways.stripe.client import asking, plain, reference

# So many paid invoices of a subscription are looked at: what is older was credited long ago.
LOOKED_AT = 20


@dataclass(frozen=True)
class InvoiceLine:
    """One price for one time; below 0 it is given back."""

    price_id: str
    amount_minor: int
    starts_at: datetime
    ends_at: datetime


@dataclass(frozen=True)
class Invoice:
    """An invoice as Stripe has it now, or would make it. Amounts are minor units of `currency` (upper case).

    `credit_minor` of `total_minor` is set off from what the customer has at Stripe, so that as much less is paid.
    `reason` is subscription_create, subscription_cycle, subscription_update or another of Stripe's words.
    """

    id: str
    number: str
    status: str
    reason: str
    currency: str
    net_minor: int
    tax_minor: int
    total_minor: int
    credit_minor: int
    due_minor: int
    url: str
    pdf: str
    payment_intent_id: str
    lines: tuple[InvoiceLine, ...]
    created_at: datetime
    paid_at: datetime | None

    @property
    def bought(self) -> InvoiceLine | None:
        """Return the line of what the invoice brings: the last that costs something."""
        return next((line for line in reversed(self.lines) if line.amount_minor > 0), None)

    @property
    def given_back(self) -> InvoiceLine | None:
        """Return the line of what an upgrade leaves."""
        return next((line for line in self.lines if line.amount_minor < 0), None)


def paid_invoices(subscription_id: str) -> list[Invoice]:
    """Return a subscription's latest paid invoices, the oldest first. Raises what `asking` does."""
    with asking() as stripe:
        params: Any = {
            "subscription": subscription_id,
            "status": "paid",
            "limit": LOOKED_AT,
            "expand": ["data.payments"],
        }
        found = plain(stripe.v1.invoices.list(params))
    # Stripe lists the newest first, also of two that were made within one second.
    return [read_invoice(one) for one in reversed(found["data"])]


def void_invoice(invoice_id: str, *, key: str) -> None:
    """Let an open invoice never be paid any more."""
    with asking() as stripe:
        stripe.v1.invoices.void_invoice(invoice_id, {}, {"idempotency_key": key})


def read_invoice(found: Mapping[str, Any]) -> Invoice:
    """Return Stripe's object as ours."""
    tax = sum(tax["amount"] for tax in found.get("total_taxes") or [])
    paid_at = (found.get("status_transitions") or {}).get("paid_at")
    payments = ((found.get("payments") or {}).get("data") or []) if isinstance(found.get("payments"), dict) else []
    intents = [reference((one.get("payment") or {}).get("payment_intent")) for one in payments]
    return Invoice(
        id=found.get("id") or "",
        number=found.get("number") or "",
        status=found.get("status") or "",
        reason=found.get("billing_reason") or "",
        currency=found["currency"].upper(),
        net_minor=found["total"] - tax,
        tax_minor=tax,
        total_minor=found["total"],
        credit_minor=max(0, found["total"] - (found.get("amount_due") or 0)),
        due_minor=found.get("amount_due") or 0,
        url=found.get("hosted_invoice_url") or "",
        pdf=found.get("invoice_pdf") or "",
        payment_intent_id=next((intent for intent in intents if intent), ""),
        lines=tuple(_line(line) for line in found["lines"]["data"]),
        created_at=datetime.fromtimestamp(found["created"], UTC),
        paid_at=datetime.fromtimestamp(paid_at, UTC) if paid_at else None,
    )


def subscription_of(found: Mapping[str, Any]) -> str:
    """Return which subscription an invoice in an event, of whatever version, is of; "" if of none."""
    details = (found.get("parent") or {}).get("subscription_details") or {}
    return reference(details.get("subscription") or found.get("subscription"))


def _line(found: Mapping[str, Any]) -> InvoiceLine:
    details = (found.get("pricing") or {}).get("price_details") or {}
    return InvoiceLine(
        price_id=reference(details.get("price")),
        amount_minor=found["amount"],
        starts_at=datetime.fromtimestamp(found["period"]["start"], UTC),
        ends_at=datetime.fromtimestamp(found["period"]["end"], UTC),
    )
