"""How an organization's automatic top-up is. Every function needs the organization's scope."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from django.db.models import F, QuerySet, Sum

from billing.enums import PaymentKind, PaymentStatus
from billing.gateways.stripe import payments_enabled
from billing.models import AutoTopUp, BillingCustomer, Payment
from billing.money import money_text


def state_of(now: datetime) -> dict[str, Any]:
    """Return what pages show: the settings (None: never set up), the card that is charged, and this month's sums."""
    row = AutoTopUp.objects.select_related("package").first()
    return {
        "row": row,
        "customer": BillingCustomer.objects.exclude(card_payment_method_id="").first(),
        "enabled": payments_enabled(),
        "ceiling": money_text(row.ceiling_minor, row.currency) if row else "",
        "spent": money_text(spent_this_month(row.currency, now), row.currency) if row else "",
        "waiting": waiting_payment() if row and row.status == "confirm" else None,
    }


def waiting_payment() -> Payment | None:
    """Return the automatic payment that waits for its buyer's confirmation."""
    found = automatic_payments().filter(status=PaymentStatus.OPEN).exclude(checkout_session_id="")
    return found.order_by("-id").first()


def too_many(row: AutoTopUp, now: datetime) -> bool:
    """Return whether one payment more would be more than the organization wants in an hour or a day."""
    counted = made_or_in_hand().filter(created_at__gte=row.counted_from)
    return any(
        counted.filter(created_at__gt=now - span).count() >= most
        for span, most in ((timedelta(hours=1), row.most_per_hour), (timedelta(days=1), row.most_per_day))
    )


def spent_this_month(currency: str, now: datetime) -> int:
    """Return what automatic payments have cost since the first of this month in UTC, what is on its way too."""
    since = now.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    found = made_or_in_hand().filter(currency=currency, created_at__gte=since)
    total = found.aggregate(minor=Sum(F("amount_minor") - F("discount_minor") + F("tax_minor")))["minor"]
    return int(total or 0)


def made_or_in_hand() -> QuerySet[Payment]:
    """Return the automatic payments that did not come to nothing."""
    return automatic_payments().exclude(status__in=[PaymentStatus.FAILED, PaymentStatus.EXPIRED])


def automatic_payments() -> QuerySet[Payment]:
    """Return the automatic payments."""
    return Payment.objects.filter(kind=PaymentKind.AUTO_TOPUP)
