"""How fast an organization spends, and how long its Tokens last. Everything here needs the organization's scope."""

from __future__ import annotations

import uuid
from collections import defaultdict
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from enum import StrEnum

from django.db import connection
from django.db.models import Sum

from billing.enums import SYSTEM_KINDS, TransferKind
from billing.models import Account, DailyBurn, Entry
from billing.queries.debts import owed_mtok
from billing.queries.forecast import organization_outlook

LOW_DAYS = 14
CRITICAL_DAYS = 3


class Level(StrEnum):
    """How worried an admin should be.

    `low` under 14 days of runway, `critical` under 3 days, with nothing left, or while a debt lets nothing be spent.
    """

    FINE = "fine"
    LOW = "low"
    CRITICAL = "critical"


@dataclass(frozen=True)
class Standing:
    """Where an organization stands. `runway_days` is None while nothing was spent in the last 7 days.

    `runs_out_on` (UTC) is None then, too, and where the Tokens last for more than ten years.
    """

    available_mtok: int
    held_mtok: int
    runway_days: int | None
    runs_out_on: date | None = None
    debt_mtok: int = 0

    @property
    def level(self) -> Level:
        if (
            self.debt_mtok > 0
            or self.available_mtok <= 0
            or (self.runway_days is not None and self.runway_days < CRITICAL_DAYS)
        ):
            return Level.CRITICAL
        if self.runway_days is not None and self.runway_days < LOW_DAYS:
            return Level.LOW
        return Level.FINE


def standing(organization_id: uuid.UUID, now: datetime) -> Standing:
    """Return what the organization can spend now (mtok), and for how many days: see billing/queries/forecast.py."""
    ahead, held = organization_outlook(organization_id, now=now)
    return Standing(ahead.available_mtok, held, ahead.lasts_days, ahead.runs_out_on, owed_mtok(organization_id))


@dataclass(frozen=True)
class Day:
    """One day (UTC): what was spent on it, and what was posted when it ended, both in mtok."""

    day: date
    burned_mtok: int
    posted_mtok: int


def burn_down(days: int, now: datetime) -> list[Day]:
    """Return the last `days` days, the oldest first, from the day's captures and the few other movements."""
    today = now.astimezone(UTC).date()
    since = today - timedelta(days=days - 1)
    burned: dict[date, int] = defaultdict(int)
    for row in DailyBurn.objects.filter(day__gte=since).values("day").annotate(mtok=Sum("captured_mtok")):
        burned[row["day"]] = row["mtok"]
    moved: dict[date, int] = defaultdict(int)
    other = Entry.objects.filter(
        created_at__gte=datetime.combine(since, datetime.min.time(), UTC),
        transfer__kind__in=[TransferKind.GRANT, TransferKind.EXPIRY, TransferKind.REVERSAL],
    ).exclude(account__kind__in=SYSTEM_KINDS)
    for created_at, mtok in other.values_list("created_at", "amount_mtok"):
        moved[created_at.astimezone(UTC).date()] += mtok
    posted = Account.objects.exclude(kind__in=SYSTEM_KINDS).aggregate(sum=Sum("posted_mtok"))["sum"] or 0
    found = []
    for day in (today - timedelta(days=back) for back in range(days)):
        found.append(Day(day, burned[day], posted))
        posted += burned[day] - moved[day]
    return found[::-1]


@dataclass(frozen=True)
class AccountBurn:
    """What was spent through one sub-token's account in a span of days (mtok)."""

    account_id: uuid.UUID
    label: str
    mtok: int


@dataclass(frozen=True)
class Spenders:
    """The accounts that spent most in a span of days, the largest first; `count` spent anything, `mtok` in all."""

    largest: list[AccountBurn]
    count: int
    mtok: int


# The sums are over all that spent, and only the largest are told of: an organization may have thousands.
_SPENDERS = """
SELECT account_id, mtok, count(*) OVER (), (sum(mtok) OVER ())::bigint
FROM (
    SELECT account_id, sum(captured_mtok)::bigint AS mtok FROM billing_dailyburn
    WHERE org_id = %(org)s AND day >= %(since)s GROUP BY account_id
) spent
WHERE mtok > 0
ORDER BY mtok DESC, account_id LIMIT %(limit)s
"""


def largest_spenders(organization_id: uuid.UUID, days: int, now: datetime, *, limit: int) -> Spenders:
    """Return who spent in the last `days` days."""
    since = now.astimezone(UTC).date() - timedelta(days=days - 1)
    with connection.cursor() as cursor:
        cursor.execute(_SPENDERS, {"org": organization_id, "since": since, "limit": limit})
        rows = cursor.fetchall()
    accounts = Account.objects.in_bulk([row[0] for row in rows])
    largest = [AccountBurn(account_id, str(accounts[account_id]), mtok) for account_id, mtok, *_ in rows]
    count, total = rows[0][2:] if rows else (0, 0)
    return Spenders(largest, count, total)
