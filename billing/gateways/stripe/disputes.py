"""Disputes: a card holder's bank takes a payment back, and decides who keeps it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from billing.gateways.stripe.client import asking, plain, reference

EXPANDED = ["payment_intent"]


@dataclass(frozen=True)
class StripeDispute:
    """A dispute as Stripe has it now, in its words; `intent_metadata` is that of the payment that it is about."""

    id: str
    status: str
    reason: str
    amount_minor: int
    currency: str
    payment_intent_id: str
    charge_id: str
    evidence_due_at: datetime | None = None
    intent_metadata: Mapping[str, str] = field(default_factory=dict)


def dispute(stripe_id: str) -> StripeDispute:
    """Return a dispute as it is now. Raises what `asking` does; GatewayRefused when there is none."""
    with asking() as stripe:
        found: Mapping[str, Any] = plain(stripe.v1.disputes.retrieve(stripe_id, {"expand": EXPANDED}))
    intent = found.get("payment_intent")
    due = (found.get("evidence_details") or {}).get("due_by")
    return StripeDispute(
        id=found["id"],
        status=found.get("status") or "",
        reason=found.get("reason") or "",
        amount_minor=found["amount"],
        currency=found["currency"].upper(),
        payment_intent_id=reference(intent),
        charge_id=reference(found.get("charge")),
        evidence_due_at=datetime.fromtimestamp(due, UTC) if due else None,
        intent_metadata=dict(intent.get("metadata") or {}) if isinstance(intent, dict) else {},
    )
