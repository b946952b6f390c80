"""Refunds: money that goes back to the card or account that it came from."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from billing.gateways.stripe.client import asking, plain, reference

EXPANDED = ["payment_intent"]
AT_ONCE = 100


@dataclass(frozen=True)
class StripeRefund:
    """A refund as Stripe has it now. `status` is pending, requires_action, succeeded, failed or canceled.

    `metadata` is the refund's own, `intent_metadata` that of the payment that it is of.
    """

    id: str
    status: str
    amount_minor: int
    currency: str
    payment_intent_id: str
    charge_id: str
    failure_code: str = ""
    metadata: Mapping[str, str] = field(default_factory=dict)
    intent_metadata: Mapping[str, str] = field(default_factory=dict)


def create_refund(
    *, refund_id: uuid.UUID, organization_id: uuid.UUID, payment_intent_id: str, amount_minor: int
) -> StripeRefund:
    """Send money of a payment back. Asked again for the same refund it returns the same one; see `find_refund`.

    Raises what `asking` does.
    """
    params: dict[str, Any] = {
        "payment_intent": payment_intent_id,
        "amount": amount_minor,
        "reason": "requested_by_customer",
        "metadata": {"organization": str(organization_id), "refund": str(refund_id)},
        "expand": EXPANDED,
    }
    with asking() as stripe:
        options: Any = {"idempotency_key": f"refund-{refund_id}"}
        return _read(plain(stripe.v1.refunds.create(params, options)))  # type: ignore[arg-type]


def find_refund(*, refund_id: uuid.UUID, payment_intent_id: str) -> StripeRefund | None:
    """Return the refund that an earlier `create_refund` made, None if there is none.

    Stripe forgets idempotency keys after a day; what we wrote on the refund stays.
    """
    return next(
        (
            found
            for found in refunds_of(payment_intent_id=payment_intent_id)
            if found.metadata.get("refund") == str(refund_id)
        ),
        None,
    )


def refunds_of(*, payment_intent_id: str) -> list[StripeRefund]:
    """Return all refunds of a payment, the latest first. Raises what `asking` does."""
    found: list[StripeRefund] = []
    after = ""
    while True:
        params: dict[str, Any] = {
            "payment_intent": payment_intent_id,
            "limit": AT_ONCE,
            "expand": [f"data.{name}" for name in EXPANDED],
        }
        if after:
            params["starting_after"] = after
        with asking() as stripe:
            page = plain(stripe.v1.refunds.list(params))  # type: ignore[arg-type]
        found += [_read(refund) for refund in page["data"]]
        if not page["has_more"] or not page["data"]:
            return found
        after = page["data"][-1]["id"]


def refund(stripe_id: str) -> StripeRefund:
    """Return a refund as it is now. Raises what `asking` does; GatewayRefused when there is none."""
    with asking() as stripe:
        return _read(plain(stripe.v1.refunds.retrieve(stripe_id, {"expand": EXPANDED})))


def _read(found: Mapping[str, Any]) -> StripeRefund:
    intent = found.get("payment_intent")
    return StripeRefund(
        id=found["id"],
        status=found.get("status") or "",
        amount_minor=found["amount"],
        currency=found["currency"].upper(),
        payment_intent_id=reference(intent),
        charge_id=reference(found.get("charge")),
        failure_code=found.get("failure_reason") or "",
        metadata=dict(found.get("metadata") or {}),
        intent_metadata=dict(intent.get("metadata") or {}) if isinstance(intent, dict) else {},
    )
