"""Checkout Sessions: Stripe's hosted page on which a payment is made, and how far one has come."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from django.conf import settings

from billing.gateways.stripe.client import asking, plain, reference

EXPANDED = ["payment_intent.latest_charge", "payment_intent.payment_method", "invoice"]


@dataclass(frozen=True)
class CheckoutSession:
    """A session as Stripe has it now. Amounts are minor units of `currency` (upper case).

    `status` is open, complete or expired; `payment_status` paid, unpaid or no_payment_required; `intent_status` is how
    far the payment itself is ("" before the card was given).
    """

    id: str
    url: str
    mode: str
    status: str
    payment_status: str
    currency: str
    subtotal_minor: int
    discount_minor: int
    tax_minor: int
    total_minor: int
    customer_id: str
    reference: str
    metadata: Mapping[str, str] = field(default_factory=dict)
    expires_at: datetime | None = None
    payment_intent_id: str = ""
    intent_status: str = ""
    failure_code: str = ""
    charge_id: str = ""
    receipt_url: str = ""
    method: str = ""
    invoice_id: str = ""
    invoice_number: str = ""
    invoice_url: str = ""
    invoice_pdf: str = ""
    subscription_id: str = ""

    @property
    def is_paid(self) -> bool:
        """Return whether the money is there, or none was owed."""
        return self.payment_status == "paid" or (
            self.payment_status == "no_payment_required" and self.status == "complete"
        )


def open_payment_session(
    *,
    payment_id: uuid.UUID,
    organization_id: uuid.UUID,
    customer_id: str,
    name: str,
    description: str,
    amount_minor: int,
    currency: str,
    language: str,
    success_url: str,
    cancel_url: str,
    save_card: bool = False,
    coupon_id: str = "",
) -> CheckoutSession:
    """Open the hosted page for one payment. Asked again for the same payment it returns the same session.

    `success_url` may contain {CHECKOUT_SESSION_ID}. Tax is added to `amount_minor`, a tax id may be given on the page,
    and an invoice is made. Raises what `asking` does.
    """
    marks = {"organization": str(organization_id), "payment": str(payment_id)}
    intent: dict[str, Any] = {"metadata": marks, "description": description}
    if save_card:
        intent["setup_future_usage"] = "off_session"
    params: dict[str, Any] = {
        "mode": "payment",
        "customer": customer_id,
        "client_reference_id": str(payment_id),
        "metadata": marks,
        "line_items": [
            {
                "quantity": 1,
                "price_data": {
                    "currency": currency.lower(),
                    "unit_amount": amount_minor,
                    "tax_behavior": "exclusive",
                    "product_data": {"name": name, "description": description},
                },
            }
        ],
        "payment_intent_data": intent,
        "automatic_tax": {"enabled": settings.STRIPE_AUTOMATIC_TAX},
        "tax_id_collection": {"enabled": True},
        "customer_update": {"name": "auto", "address": "auto"},
        "invoice_creation": {"enabled": True, "invoice_data": {"metadata": marks, "description": description}},
        "locale": "zh" if language.startswith("zh") else "en",
        "success_url": success_url,
        "cancel_url": cancel_url,
        "expand": EXPANDED,
    }
    # Stripe offers what is switched on in its dashboard and fits the amount; this only narrows it.
    if settings.STRIPE_PAYMENT_METHODS:
        params["allowed_payment_method_types"] = settings.STRIPE_PAYMENT_METHODS
    if coupon_id:
        params["discounts"] = [{"coupon": coupon_id}]
    with asking() as stripe:
        options: Any = {"idempotency_key": f"checkout-{payment_id}"}
        return read_session(plain(stripe.v1.checkout.sessions.create(params, options)))  # type: ignore[arg-type]


def session(session_id: str) -> CheckoutSession:
    """Return a session as it is now. Raises what `asking` does; GatewayRefused when there is none."""
    with asking() as stripe:
        return read_session(plain(stripe.v1.checkout.sessions.retrieve(session_id, {"expand": EXPANDED})))


def expire_session(session_id: str) -> CheckoutSession:
    """Close an open session, so that it can no longer be paid; one that is closed already stays as it is."""
    found = session(session_id)
    if found.status != "open":
        return found
    with asking() as stripe:
        return read_session(plain(stripe.v1.checkout.sessions.expire(session_id, {"expand": EXPANDED})))


def read_session(found: Mapping[str, Any]) -> CheckoutSession:
    """Return Stripe's object, its payment expanded, as ours."""
    totals = found.get("total_details") or {}
    intent = found.get("payment_intent")
    intent = intent if isinstance(intent, dict) else {}
    charge = intent.get("latest_charge")
    charge = charge if isinstance(charge, dict) else {}
    invoice = found.get("invoice")
    invoice = invoice if isinstance(invoice, dict) else {}
    error = intent.get("last_payment_error") or {}
    expires = found.get("expires_at")
    return CheckoutSession(
        id=found["id"],
        url=found.get("url") or "",
        mode=found.get("mode") or "",
        status=found.get("status") or "",
        payment_status=found.get("payment_status") or "",
        currency=(found.get("currency") or "").upper(),
        subtotal_minor=found.get("amount_subtotal") or 0,
        discount_minor=totals.get("amount_discount") or 0,
        tax_minor=totals.get("amount_tax") or 0,
        total_minor=found.get("amount_total") or 0,
        customer_id=reference(found.get("customer")),
        reference=found.get("client_reference_id") or "",
        metadata=dict(found.get("metadata") or {}),
        expires_at=datetime.fromtimestamp(expires, UTC) if expires else None,
        payment_intent_id=reference(found.get("payment_intent")),
        intent_status=intent.get("status") or "",
        failure_code=error.get("decline_code") or error.get("code") or "",
        charge_id=reference(intent.get("latest_charge")),
        receipt_url=charge.get("receipt_url") or "",
        method=method_words(charge.get("payment_method_details") or intent.get("payment_method")),
        invoice_id=reference(found.get("invoice")),
        invoice_number=invoice.get("number") or "",
        invoice_url=invoice.get("hosted_invoice_url") or "",
        invoice_pdf=invoice.get("invoice_pdf") or "",
        subscription_id=reference(found.get("subscription")),
    )


def method_words(details: Any) -> str:
    """Return what was paid with, as far as may be shown: `visa 4242`, `alipay`; "" when unknown."""
    if not isinstance(details, dict):
        return ""
    kind = details.get("type") or ""
    more = details.get(kind)
    more = more if isinstance(more, dict) else {}
    name = more.get("brand") or more.get("bank_name") or kind
    return f"{name} {more.get('last4') or ''}".strip()[:80]
