"""Telling of what ran out when a call finds it out: the last thousandths are often too few for one more call."""

from __future__ import annotations

import time
import uuid
from datetime import datetime

import structlog
from django.db import DatabaseError, connection

from billing.enums import PLAN_HOUR
from tenants.identifiers import new_id
from tenants.scope import organization_scope

log = structlog.get_logger(__name__)

# The same refusal is noted so often at most, by each process: the alert is raised once per period anyway.
NOTE_EVERY_SECONDS = 30.0
REMEMBERED = 10_000
SPANS = {"tokens_per_hour": "hour", "tokens_per_day": "day", "tokens_per_month": "month", "tokens_total": "total"}

_noted_at: dict[tuple[uuid.UUID, str], float] = {}

# An account's period, or a limit's window that runs, is at its end: level 100.
ACCOUNT = """
INSERT INTO billing_crossing (id, org_id, created_at, due_at, account_id, span, levels, period, used_mtok, whole_mtok,
    refused)
SELECT %(id)s, a.org_id, %(now)s, %(now)s, a.id, '', '{100}', a.watch_period::text,
    CASE a.mode WHEN 'capped' THEN a.drawn_mtok ELSE a.watch_base_mtok - a.posted_mtok END, a.watch_base_mtok, true
FROM billing_account a WHERE a.org_id = %(organization)s AND a.id = %(account)s
"""
WINDOW = """
INSERT INTO billing_crossing (id, org_id, created_at, due_at, account_id, span, levels, period, used_mtok, whole_mtok,
    refused)
SELECT %(id)s, w.org_id, %(now)s, %(now)s, w.account_id, w.period, '{100}',
    to_char(w.starts_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"'), w.used_mtok,
    billing_ceiling(w.org_id, w.account_id, w.period), true
FROM billing_limitwindow w
WHERE w.org_id = %(organization)s AND w.account_id = %(account)s AND w.period = %(span)s
ORDER BY w.starts_at DESC LIMIT 1
"""


def note_refusal(
    *, organization_id: uuid.UUID, account_id: uuid.UUID, limit: str, now: datetime, by_plan: bool = False
) -> None:
    """Remember that a call was refused because `account_id` has too little of `limit` left, so that people are told.

    `limit` is tokens, quota, tokens_per_hour, tokens_per_day, tokens_per_month or tokens_total; others are nobody's
    news. With `by_plan` it is the plan's Tokens per hour. Opens its own scope. A failure is logged and never the
    caller's: they are being refused already.
    """
    span = SPANS.get(limit)
    if span is None and limit not in {"tokens", "quota"}:
        return
    if by_plan:
        span = limit = PLAN_HOUR
    clock = time.monotonic()
    if clock - _noted_at.get((account_id, limit), -NOTE_EVERY_SECONDS) < NOTE_EVERY_SECONDS:
        return
    if len(_noted_at) >= REMEMBERED:
        _noted_at.clear()
    _noted_at[account_id, limit] = clock
    try:
        with organization_scope(organization_id), connection.cursor() as cursor:
            cursor.execute(
                WINDOW if span else ACCOUNT,
                {"id": new_id(), "now": now, "organization": organization_id, "account": account_id, "span": span},
            )
    except DatabaseError:
        log.exception("refusal_not_noted", account=str(account_id), limit=limit)


def forget_refusals() -> None:
    """Let this process note the next refusal at once. For tests."""
    _noted_at.clear()
