"""Payment intents that are confirmed without anybody present, with a saved card."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Any

from billing.gateways.stripe.checkout import CheckoutSession, method_words
from billing.gateways.stripe.client import asking, plain, reference

EXPANDED = ["latest_charge", "payment_method"]
# What tells our automatic payments from all others, in their metadata.
KIND = "auto_topup"
LOOKED_THROUGH = 100


def charge_saved_card(
    *,
    payment_id: uuid.UUID,
    organization_id: uuid.UUID,
    customer_id: str,
    payment_method_id: str,
    amount_minor: int,
    currency: str,
    description: str,
) -> CheckoutSession:
    """Ask a saved card for the money of a payment, once: asked again, Stripe answers what it answered first.

    Returns the payment as a checkout session would be told of, so that one function fulfils both. Raises CardDeclined,
    AuthenticationRequired, and what `asking` does.
    """
    params: dict[str, Any] = {
        "amount": amount_minor,
        "currency": currency.lower(),
        "customer": customer_id,
        "payment_method": payment_method_id,
        "off_session": True,
        "confirm": True,
        "description": description,
        "metadata": {"organization": str(organization_id), "payment": str(payment_id), "kind": KIND},
        "expand": EXPANDED,
    }
    with asking() as stripe:
        options: Any = {"idempotency_key": f"auto-{payment_id}"}
        return read_intent(plain(stripe.v1.payment_intents.create(params, options)))  # type: ignore[arg-type]


def intent(intent_id: str) -> CheckoutSession:
    """Return a payment intent as it is now. Raises what `asking` does."""
    with asking() as stripe:
        return read_intent(plain(stripe.v1.payment_intents.retrieve(intent_id, {"expand": EXPANDED})))


def cancel_intent(intent_id: str) -> CheckoutSession:
    """Make sure that an intent can take no money any more; return it as it is then, which may be paid."""
    found = intent(intent_id)
    if found.intent_status in {"succeeded", "canceled", "processing"}:
        return found
    with asking() as stripe:
        return read_intent(plain(stripe.v1.payment_intents.cancel(intent_id, {"expand": EXPANDED})))


def find_intent(*, customer_id: str, payment_id: uuid.UUID) -> CheckoutSession | None:
    """Return the intent of a payment among the customer's latest, None when none was made."""
    with asking() as stripe:
        found = plain(stripe.v1.payment_intents.list({"customer": customer_id, "limit": LOOKED_THROUGH}))
    for one in found["data"]:
        if (one.get("metadata") or {}).get("payment") == str(payment_id):
            return intent(one["id"])
    return None


def read_intent(found: Mapping[str, Any]) -> CheckoutSession:
    """Return a payment intent as the session of its payment."""
    charge = found.get("latest_charge")
    charge = charge if isinstance(charge, dict) else {}
    error = found.get("last_payment_error") or {}
    marks = dict(found.get("metadata") or {})
    return CheckoutSession(
        id="",
        url="",
        mode="payment",
        status="complete",
        payment_status="paid" if found["status"] == "succeeded" else "unpaid",
        currency=found["currency"].upper(),
        subtotal_minor=found["amount"],
        discount_minor=0,
        tax_minor=0,
        total_minor=found["amount"],
        customer_id=reference(found.get("customer")),
        reference=marks.get("payment", ""),
        metadata=marks,
        payment_intent_id=found["id"],
        intent_status=found["status"],
        failure_code=error.get("decline_code") or error.get("code") or "",
        charge_id=reference(found.get("latest_charge")),
        receipt_url=charge.get("receipt_url") or "",
        method=method_words(charge.get("payment_method_details") or found.get("payment_method")),
    )
