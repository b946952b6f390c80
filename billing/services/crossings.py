"""Making alerts of the levels that were reached.

The triggers of billing/migrations/sql/watch.sql write a crossing in the transaction of the money that reached a level.
Here each crossing becomes its alerts and is deleted, in one transaction: a crossing is lost by nothing, and two
workers that had the same one would raise the same alert, which is raised once.
"""

from __future__ import annotations

import time
import uuid
from datetime import datetime, timedelta

import structlog
from django.db import connection
from django.db.models import Sum

from billing.enums import PLAN_HOUR, AccountKind, AlertRule
from billing.models import Account, AlertSettings, Crossing, Entry, Grant, Lot, SubToken
from billing.models.alerts import LEVELS
from billing.services.alerts import FULL, raise_levels
from tenants.scope import platform_scope

log = structlog.get_logger(__name__)

CROSSINGS_AT_ONCE = 200
# A crossing that failed is looked at again after this, and keeps no other waiting.
PUT_OFF = timedelta(minutes=1)

MARKING_ROUNDS, MARKING_PAUSE_SECONDS = 200, 0.01
# The accounts at the other end of everything that is not use.
NOT_USED = (AccountKind.ISSUED, AccountKind.EXPIRED, AccountKind.REFUNDED)

RULE_OF_KIND = {
    AccountKind.ORG_WALLET: AlertRule.TOKENS_EXHAUSTED,
    AccountKind.TEAM_POOL: AlertRule.POOL_USED,
    AccountKind.SUB_TOKEN: AlertRule.SUB_TOKEN_USED,
}

# Lots that somebody has locked are left out and marked in a next round: whoever burns lots locks their accounts first,
# so waiting here could wait in a circle.
MARK = """
UPDATE billing_lot l SET watch_below_mtok = mark.mtok
FROM (
    SELECT free.id, mark.mtok FROM billing_lot free
    JOIN unnest(%s::uuid[], %s::bigint[]) AS mark (id, mtok) ON mark.id = free.id
    FOR NO KEY UPDATE OF free SKIP LOCKED
) mark
WHERE l.id = mark.id
RETURNING l.id, l.posted_mtok, l.watch_below_mtok
"""


def raise_crossings(*, now: datetime) -> int:
    """Make alerts of what was crossed, and return of how many crossings. Through the platform's door.

    Each in transactions of its own, so one that fails stops no other, and is tried again a minute later. Any number of
    workers may run at once.
    """
    done = 0
    while done < CROSSINGS_AT_ONCE and (crossing := _claim(now)) is not None:
        try:
            if crossing.grant is not None:
                weigh_grant(crossing.grant, now=now)
            elif crossing.account_id is not None:
                _raise_account(crossing, crossing.account_id, now)
        except Exception:
            log.exception("crossing_failed", crossing=str(crossing.id))
        done += 1
    return done


def weigh_grant(grant: Grant, *, now: datetime) -> None:
    """Add up what is left of a grant, mark its lots for the next level, and raise what it has reached.

    With R what is left when the next level is reached, and T > R what is left now, a lot with p of T gets the mark
    p * (R + 1) / T, rounded up. The marks add up to more than R; so while no lot is below its own, more than R is left.
    (Thresholds of a sum, watched at its parts: Keralapura, Cormode, Ramamirtham, "Communication-efficient distributed
    monitoring of thresholded counts", SIGMOD 2006.) A lot that is below its mark already when that is written makes
    this begin again. The grant's crossings are deleted with the alerts, after the marks: whatever stops this in between
    leaves them for the next round. Through the platform's door.
    """
    with platform_scope("weigh a grant"):
        weighed = list(Crossing.objects.filter(grant=grant).values_list("id", flat=True))
    marked = grant.expires_at is not None and grant.expires_at <= now
    passed: list[int] = []
    used = whole = 0
    while not marked:
        with platform_scope("weigh a grant"):
            posted = dict(Lot.objects.filter(grant=grant, spent=False).values_list("id", "posted_mtok"))
            whole = _whole(grant)
            levels = _levels(grant)
        left = sum(posted.values())
        used = whole - left
        passed = [level for level in levels if used * FULL >= whole * level]
        ahead = [level for level in levels if level not in passed]
        if not ahead or not posted:
            break
        floor = whole - -(-whole * ahead[0] // FULL) + 1
        marked = _mark({lot: -(-mtok * floor // left) for lot, mtok in posted.items()})
    with platform_scope("raise what a grant has reached"):
        if passed and whole:
            raise_levels(
                organization_id=grant.organization_id,
                rule=AlertRule.GRANT_USED,
                subject_kind="grant",
                subject_id=grant.id,
                levels=passed,
                period="",
                facts={"used_mtok": used, "whole_mtok": whole},
                now=now,
            )
        Crossing.objects.filter(id__in=weighed).delete()


def _claim(now: datetime) -> Crossing | None:
    """Have one crossing alone for a minute."""
    with platform_scope("raise what was crossed"):
        due = Crossing.objects.filter(due_at__lte=now).order_by("due_at", "id")
        crossing = due.select_for_update(skip_locked=True, of=("self",)).first()
        if crossing is not None:
            Crossing.objects.filter(id=crossing.id).update(due_at=now + PUT_OFF)
            if crossing.grant_id:
                crossing.grant = Grant.objects.get(id=crossing.grant_id)
    return crossing


def _raise_account(crossing: Crossing, account_id: uuid.UUID, now: datetime) -> None:
    with platform_scope("raise what an account has reached"):
        account = Account.objects.get(id=account_id)
        kind, subject_id = _subject(account)
        facts: dict[str, object] = {"used_mtok": crossing.used_mtok, "whole_mtok": crossing.whole_mtok}
        if crossing.refused:
            facts["refused"] = True
        rule, period = RULE_OF_KIND[AccountKind(account.kind)], crossing.period
        if crossing.span:
            rule, period = AlertRule.LIMIT_USED, f"{crossing.span}:{crossing.period}"
            facts |= {"limit": crossing.span, "resets_at": _end(crossing.span, crossing.period)}
            if crossing.span == PLAN_HOUR:
                facts |= {"limit": "hour", "plan": True}
        raise_levels(
            organization_id=account.organization_id,
            rule=rule,
            subject_kind=kind,
            subject_id=subject_id,
            levels=crossing.levels,
            period=period,
            facts=facts,
            now=now,
        )
        crossing.delete()


def _end(span: str, starts_at: str) -> str | None:
    """Return when the period of a limit that began at `starts_at` (both ISO 8601) ends, None for never."""
    begins = datetime.fromisoformat(starts_at)
    match span:
        case "hour" | "planhour":
            return (begins + timedelta(hours=1)).isoformat()
        case "day":
            return (begins + timedelta(days=1)).isoformat()
        case "month":
            return (begins + timedelta(days=31)).replace(day=1).isoformat()
    return None


def _subject(account: Account) -> tuple[str, uuid.UUID]:
    """Return what people see of an account: the sub-token, the team or the organization."""
    if account.kind == AccountKind.ORG_WALLET:
        return "organization", account.organization_id
    if account.kind == AccountKind.TEAM_POOL and account.team_id:
        return "team", account.team_id
    sub_token_id = SubToken.objects.filter(account=account).values_list("id", flat=True).first()
    return ("sub_token", sub_token_id) if sub_token_id else ("account", account.id)


def _levels(grant: Grant) -> list[int]:
    found = AlertSettings.objects.filter(organization_id=grant.organization_id).first()
    return sorted(found.levels) if found else LEVELS


def _whole(grant: Grant) -> int:
    """Return what the organization got by a grant and may use: without what was reversed or has expired (mtok)."""
    others = Entry.objects.filter(grant=grant, account__kind__in=NOT_USED)
    return -(others.aggregate(mtok=Sum("amount_mtok"))["mtok"] or 0)


def _mark(marks: dict[uuid.UUID, int]) -> bool:
    """Write the marks, each in a moment when nobody else has the lot; return False when a lot is below its own."""
    for _ in range(MARKING_ROUNDS):
        with platform_scope("mark lots"), connection.cursor() as cursor:
            cursor.execute(MARK, [list(marks), list(marks.values())])
            written = cursor.fetchall()
        if any(posted < mark for _, posted, mark in written):
            return False
        marks = {lot: mark for lot, mark in marks.items() if lot not in {found for found, _, _ in written}}
        if not marks:
            return True
        time.sleep(MARKING_PAUSE_SECONDS)
    raise TimeoutError(f"{len(marks)} lots of a grant stayed locked")
