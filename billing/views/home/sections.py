"""What the billing page shows of Tokens, payments and who pays."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.db.models import F, Q, Sum

from billing.enums import PaymentKind
from billing.gateways.stripe import payments_enabled
from billing.models import BillingCustomer, Lot, Payment, Subscription
from billing.queries.grants import grants
from billing.queries.payments import payments
from billing.views.balance import standing_of
from tenants.permissions import Permission
from tenants.views.access import ConsoleRequest

PAYMENTS_SHOWN = 25
GRANTS_SHOWN = 12


def tokens(request: ConsoleRequest, now: datetime) -> dict[str, Any]:
    """Return where the organization stands, and whether more can be bought."""
    return {
        "standing": standing_of(request),
        "enabled": payments_enabled(),
        "may_buy": Permission.BILLING_MANAGE in request.permissions,
    }


def paid(request: ConsoleRequest, now: datetime) -> dict[str, Any]:
    """Return the latest payments."""
    rows = list(payments()[: PAYMENTS_SHOWN + 1])
    return {"rows": rows[:PAYMENTS_SHOWN], "more": len(rows) > PAYMENTS_SHOWN}


def granted(request: ConsoleRequest, now: datetime) -> dict[str, Any]:
    """Return the grants that have something left, in the order in which they burn."""
    left = Lot.objects.filter(spent=False).values("grant_id")
    frozen = Sum(F("lots__posted_mtok") - F("lots__held_mtok"), filter=Q(lots__frozen=True), default=0)
    rows = (
        grants()
        .annotate(frozen_mtok=frozen)
        .filter(id__in=left)
        .order_by("priority", "expires_at", "created_at", "id")[: GRANTS_SHOWN + 1]
    )
    found = list(rows)
    return {"rows": found[:GRANTS_SHOWN], "more": len(found) > GRANTS_SHOWN, "now": now}


def methods(request: ConsoleRequest, now: datetime) -> dict[str, Any] | None:
    """Return the saved card, and what the plan was paid with last, as far as they may be shown."""
    customer = BillingCustomer.objects.first()
    if customer is None and not payments_enabled():
        return None
    plan = ""
    if Subscription.objects.exclude(stripe_id=None).exists():
        last = Payment.objects.filter(kind=PaymentKind.PLAN).exclude(method="").order_by("-id")
        plan = last.values_list("method", flat=True).first() or ""
    return {"customer": customer, "plan_method": plan, "enabled": payments_enabled()}


def details(request: ConsoleRequest, now: datetime) -> dict[str, Any] | None:
    """Return whether there is anybody whose details could be asked for; they are loaded beside the page."""
    if not payments_enabled():
        return None
    return {"customer": BillingCustomer.objects.first(), "bought": Payment.objects.exists()}
