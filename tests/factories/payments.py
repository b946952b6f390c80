"""Payments and customers for tests, without Stripe. Each function writes rows and returns them."""

from __future__ import annotations

import uuid
from datetime import datetime
from itertools import count
from typing import Any

from billing.enums import Currency
from billing.gateways.stripe.checkout import CheckoutSession
from billing.models import BillingCustomer, Payment, StripeEvent
from billing.services.fulfilment import settle
from tenants.models import Organization
from tenants.scope import organization_scope, platform_scope
from tests.factories.billing import NOW

_numbers = count(1)


def make_customer(organization: Organization) -> BillingCustomer:
    """Return who the organization is to Stripe, written when it is first asked for."""
    with organization_scope(organization.id):
        return BillingCustomer.objects.get_or_create(
            organization=organization, defaults={"stripe_id": f"cus_test{next(_numbers)}"}
        )[0]


def make_payment(organization: Organization, mtok: int = 1_000_000, **values: Any) -> Payment:
    """Begin a payment of a fen for each Token, with a session that nobody has paid."""
    make_customer(organization)
    given = {
        "tokens_mtok": mtok,
        "currency": Currency.CNY,
        "amount_minor": mtok // 1000,
        "checkout_session_id": f"cs_test_{next(_numbers)}",
        "checkout_url": "https://checkout.stripe.example/c/pay",
        "created_at": NOW,
        "updated_at": NOW,
    } | values
    with organization_scope(organization.id):
        return Payment.objects.create(organization=organization, **given)


def session_of(payment: Payment, **values: Any) -> CheckoutSession:
    """Return a payment's session as Stripe would tell of it, paid unless told otherwise."""
    with organization_scope(payment.organization_id):
        customer_id = BillingCustomer.objects.get().stripe_id
    number = payment.checkout_session_id or "cs_test_unknown"
    given = {
        "id": number,
        "url": "",
        "mode": "payment",
        "status": "complete",
        "payment_status": "paid",
        "currency": payment.currency,
        "subtotal_minor": payment.net_minor,
        "discount_minor": 0,
        "tax_minor": 0,
        "total_minor": payment.net_minor,
        "customer_id": customer_id,
        "reference": str(payment.id),
        "metadata": {"organization": str(payment.organization_id), "payment": str(payment.id)},
        "payment_intent_id": f"pi_{number}",
        "intent_status": "succeeded",
        "charge_id": f"ch_{number}",
        "method": "visa 4242",
    } | values
    if "tax_minor" in values and "total_minor" not in values:
        given["total_minor"] = payment.net_minor + values["tax_minor"]
    return CheckoutSession(**given)


def make_paid_payment(
    organization: Organization, mtok: int = 1_000_000, *, now: datetime = NOW, **values: Any
) -> Payment:
    """Return a payment that was paid, with its grant. Needs a wallet."""
    payment = make_payment(organization, mtok, created_at=now, **values)
    return settle(session=session_of(payment), now=now)


def make_stripe_event(
    kind: str = "checkout.session.completed", about: dict[str, Any] | None = None, **values: Any
) -> StripeEvent:
    """Store an event of Stripe's that is due, about an object."""
    number = values.pop("event_id", f"evt_test{next(_numbers)}")
    payload = {
        "id": number,
        "object": "event",
        "type": kind,
        "api_version": "2026-10-28.endive",
        "created": int(NOW.timestamp()),
        "livemode": False,
        "data": {"object": about or {"object": "checkout.session", "id": "cs_test_none", "mode": "payment"}},
    }
    given = {
        "event_id": number,
        "type": kind,
        "payload": payload,
        "happened_at": NOW,
        "received_at": NOW,
        "next_try_at": NOW,
    } | values
    with platform_scope("test data"):
        return StripeEvent.objects.create(**given)


def payment_now(payment_id: uuid.UUID, organization: Organization) -> Payment:
    """Return a payment as it is in the database."""
    with organization_scope(organization.id):
        return Payment.objects.get(id=payment_id)
