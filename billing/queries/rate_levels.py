"""What bounds a sub-token's requests, on every level from itself up to its organization."""

from __future__ import annotations

import math
import uuid
from dataclasses import dataclass
from typing import Any

import orjson
from django.db import connection

from billing.enums import Level
from billing.models import SubToken
from billing.queries.plans import PlanTerms


@dataclass(frozen=True, slots=True)
class RateLevel:
    """The bounds of one level; None means none. `key` is what Redis counts them under.

    `requests_per_second` refills a bucket of `burst`; a day is one of UTC. `plan` is set where they are not the
    organization's own limits but its plan's ceilings.
    """

    level: Level
    key: str
    requests_per_second: float | None = None
    burst: int = 1
    requests_per_day: int | None = None
    concurrency: int | None = None
    plan: PlanTerms | None = None


@dataclass(frozen=True, slots=True)
class RateLevels:
    """All levels that bound a sub-token, its own first; `refuse_uncounted` says what happens while nothing counts."""

    levels: tuple[RateLevel, ...]
    refuse_uncounted: bool = False

    @classmethod
    def of(cls, sub_token: SubToken, above: dict[str, Any] | None, plan: PlanTerms | None = None) -> RateLevels:
        """Put together a sub-token's policy, what `billing_rate_levels` answered, and the plan's ceilings."""
        above = above or {}
        bounds = above.get("levels") or []
        own_per_day = next((row["requests_per_day"] for row in bounds if row["level"] == Level.SUB_TOKEN), None)
        upper = [_upper(row) for row in bounds if row["level"] != Level.SUB_TOKEN]
        if plan and (plan.requests_per_second or plan.concurrency):
            upper.append(_ceiling(sub_token.organization_id, plan))
        return cls((_own(sub_token, own_per_day), *upper), above.get("when_uncounted") == "refuse")


def rate_levels(organization_id: uuid.UUID, account_id: uuid.UUID) -> dict[str, Any]:
    """Return what `billing_rate_levels` says of an account. Needs the organization's scope."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT billing_rate_levels(%s, %s)", [organization_id, account_id])
        (found,) = cursor.fetchone()
    return orjson.loads(found)


def _own(sub_token: SubToken, requests_per_day: int | None) -> RateLevel:
    rate = None if sub_token.requests_per_second is None else float(sub_token.requests_per_second)
    return RateLevel(
        level=Level.SUB_TOKEN,
        key=str(sub_token.id),
        requests_per_second=rate,
        burst=sub_token.burst or (_one_second(rate) if rate else 1),
        requests_per_day=requests_per_day,
        concurrency=sub_token.concurrency,
    )


def _ceiling(organization_id: uuid.UUID, plan: PlanTerms) -> RateLevel:
    return RateLevel(
        level=Level.ORGANIZATION,
        key=f"plan-{organization_id}",
        requests_per_second=plan.requests_per_second,
        burst=plan.burst or (_one_second(plan.requests_per_second) if plan.requests_per_second else 1),
        concurrency=plan.concurrency,
        plan=plan,
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
