"""Noticing that more is spent than usual. Through the platform's door."""

from __future__ import annotations

import uuid
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from statistics import fmean, median

from django.db.models import Sum

from billing.enums import AlertRule
from billing.models import AlertSettings, DailyBurn, SubToken
from billing.models.alerts import BURN_SCORE
from billing.services.alerts import raise_alert
from tenants.scope import platform_scope

DAYS = 14
# Fewer days since the first burn say nothing of what is usual, and fewer Tokens are nobody's worry.
DAYS_NEEDED = 7
LEAST_MTOK = 10_000
# A day must also be so many times the median: a very even past makes everything far from it.
LEAST_TIMES = 1.5
# Make MAD and mean deviation estimates of a normal distribution's standard deviation.
MAD_FACTOR, MEAN_FACTOR = 1.4826, 1.2533


@dataclass(frozen=True)
class Unusual:
    """A day's burn that is far from the usual (mtok); `score` is how many robust standard deviations."""

    burned_mtok: int
    usual_mtok: int
    score: float


def judge(past_mtok: Sequence[int], today_mtok: int, *, limit: float) -> Unusual | None:
    """Return how unusual today's burn is, or None when it is not, against the burn of each earlier day.

    The modified z-score of Iglewicz and Hoaglin ("How to Detect and Handle Outliers", 1993, chapter 3):
    (today - median) / (1.4826 * MAD), MAD being the median of the distances from the median; more than `limit`
    (they recommend 3.5) is an outlier. Median and MAD stay where they are when up to half of the days are outliers
    themselves. When more than half of the days are alike, MAD is 0 and the mean distance takes its place, as they
    advise (times 1.2533); when all are alike, anything beyond 1.5 times the median counts.
    """
    if len(past_mtok) < DAYS_NEEDED or today_mtok < LEAST_MTOK:
        return None
    usual = median(past_mtok)
    if today_mtok <= LEAST_TIMES * usual:
        return None
    distances = [abs(mtok - usual) for mtok in past_mtok]
    spread = MAD_FACTOR * median(distances) or MEAN_FACTOR * fmean(distances)
    score = (today_mtok - usual) / spread if spread else float("inf")
    return Unusual(today_mtok, round(usual), score) if score > limit else None


def notice_unusual_burn(*, now: datetime) -> int:
    """Raise `unusual_burn` for organizations and sub-tokens whose burn today is far above their last 14 days.

    Once per subject and day (UTC). A day without burn counts as 0; days before the subject's first burn do not count.
    Returns how many alerts were new.
    """
    today = now.astimezone(UTC).date()
    with platform_scope("look for unusual burn"):
        burning = list(
            DailyBurn.objects.filter(day=today)
            .values("organization_id")
            .annotate(mtok=Sum("captured_mtok"))
            .filter(mtok__gte=LEAST_MTOK)
            .values_list("organization_id", flat=True)
        )
    return sum(_look_at(organization_id, today, now) for organization_id in burning)


def _look_at(organization_id: uuid.UUID, today: date, now: datetime) -> int:
    with platform_scope("look for unusual burn"):
        rows = DailyBurn.objects.filter(
            organization_id=organization_id, day__gte=today - timedelta(days=DAYS), day__lte=today
        ).values_list("account_id", "day", "captured_mtok")
        by_account: dict[uuid.UUID, dict[date, int]] = defaultdict(dict)
        by_day: dict[date, int] = defaultdict(int)
        for account_id, day, mtok in rows:
            by_account[account_id][day] = mtok
            by_day[day] += mtok
        chosen = AlertSettings.objects.filter(organization_id=organization_id).first()
        limit = chosen.burn_score if chosen else BURN_SCORE
        found = {account_id: _judge_days(days, today, limit) for account_id, days in by_account.items()}
        names = SubToken.objects.filter(account_id__in=[account for account, unusual in found.items() if unusual])
        subjects = [("sub_token", token.id, token.name, found[token.account_id]) for token in names]
        subjects.append(("organization", organization_id, "", _judge_days(by_day, today, limit)))
        return sum(
            raise_alert(
                organization_id=organization_id,
                rule=AlertRule.UNUSUAL_BURN,
                subject_kind=kind,
                subject_id=subject_id,
                subject_name=name,
                level=None,
                period=today.isoformat(),
                facts={"burned_mtok": unusual.burned_mtok, "usual_mtok": unusual.usual_mtok},
                now=now,
            )
            for kind, subject_id, name, unusual in subjects
            if unusual
        )


def _judge_days(burned: dict[date, int], today: date, limit: float) -> Unusual | None:
    first = min(burned)
    past = [today - timedelta(days=back) for back in range(1, DAYS + 1)]
    return judge([burned.get(day, 0) for day in past if day >= first], burned.get(today, 0), limit=limit)
