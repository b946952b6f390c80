"""What bounds a sub-token's requests, on every level from itself up to its organization."""

from __future__ import annotations

import math
import uuid
from dataclasses import dataclass
from typing import Any

import orjson
from django.conf import settings
from django.db import connection

from billing.enums import Level
from billing.models import SubToken


@dataclass(frozen=True, slots=True)
class RateLevel:
    """The bounds of one level; None means none. `key` is what Redis counts them under.

    `requests_per_second` refills a bucket of `burst`; a day is one of UTC.
    """

    level: Level
    key: str
    requests_per_second: float | None = None
    burst: int = 1
    requests_per_day: int | None = None
    concurrency: int | None = None


@dataclass(frozen=True, slots=True)
class RateLevels:
    """All levels that bound a sub-token, its own first; `refuse_uncounted` says what happens while nothing counts."""

    levels: tuple[RateLevel, ...]
    refuse_uncounted: bool = False

    @classmethod
    def of(cls, sub_token: SubToken, above: dict[str, Any] | None) -> RateLevels:
        """Put together a sub-token's policy, the plan's ceiling on it, and what `billing_rate_levels` answered."""
        above = above or {}
        bounds = above.get("levels") or []
        own_per_day = next((row["requests_per_day"] for row in bounds if row["level"] == Level.SUB_TOKEN), None)
        upper = [_upper(row) for row in bounds if row["level"] != Level.SUB_TOKEN]
        return cls((_own(sub_token, own_per_day), *upper), above.get("when_uncounted") == "refuse")


def rate_levels(organization_id: uuid.UUID, account_id: uuid.UUID) -> dict[str, Any]:
    """Return what `billing_rate_levels` says of an account. Needs the organization's scope."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT billing_rate_levels(%s, %s)", [organization_id, account_id])
        (found,) = cursor.fetchone()
    return orjson.loads(found)


def _own(sub_token: SubToken, requests_per_day: int | None) -> RateLevel:
    """Return a sub-token's own bounds: the plan's ceiling where it has none or a higher one."""
    ceiling = float(settings.PLAN_REQUESTS_PER_SECOND)
    rate = min(float(sub_token.requests_per_second or ceiling), ceiling)
    return RateLevel(
        level=Level.SUB_TOKEN,
        key=str(sub_token.id),
        requests_per_second=rate,
        burst=sub_token.burst or _one_second(rate),
        requests_per_day=requests_per_day,
        concurrency=min(sub_token.concurrency or settings.PLAN_CONCURRENCY, settings.PLAN_CONCURRENCY),
    )


def _upper(row: dict[str, Any]) -> RateLevel:
    rate = None if row["requests_per_second"] is None else float(row["requests_per_second"])
    return RateLevel(
        level=Level(row["level"]),
        key=row["account"],
        requests_per_second=rate,
        burst=row["burst"] or (_one_second(rate) if rate else 1),
        requests_per_day=row["requests_per_day"],
        concurrency=row["concurrency"],
    )


def _one_second(rate: float) -> int:
    return max(1, math.ceil(rate))
