"""Tokens burned by day. Read in the scope of the caller's transaction."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import date, timedelta

from django.db.models import Sum

from billing.models import DailyBurn


@dataclass(frozen=True)
class DayOfAccount:
    """What one account was asked for and burned on one day (UTC): mtok, in so many captures."""

    day: date
    account_id: uuid.UUID
    captured_mtok: int
    captures: int


def daily_burn(
    organization_id: uuid.UUID, *, first_day: date, last_day: date, account_id: uuid.UUID | None = None
) -> list[DayOfAccount]:
    """Return the days from first to last (both included) on which accounts, or one, burned Tokens, in order of day.

    Days without any are left out. The account is the one that was asked: a capped sub-token counts here under itself,
    although the Tokens came from its parent.
    """
    rows = DailyBurn.objects.filter(organization_id=organization_id, day__range=(first_day, last_day))
    if account_id is not None:
        # Day by day, as the index is: of a thousand accounts' rows only its own are read.
        days = [first_day + timedelta(days=number) for number in range((last_day - first_day).days + 1)]
        rows = DailyBurn.objects.filter(organization_id=organization_id, day__in=days, account_id=account_id)
    fields = ("day", "account_id", "captured_mtok", "captures")
    return [DayOfAccount(*row) for row in rows.order_by("day", "account_id").values_list(*fields)]


def captured_between(organization_id: uuid.UUID, first_day: date, end: date) -> int:
    """Return what an organization's captures burned from the first day up to but without the end, in mtok."""
    rows = DailyBurn.objects.filter(organization_id=organization_id, day__gte=first_day, day__lt=end)
    return rows.aggregate(sum=Sum("captured_mtok"))["sum"] or 0
