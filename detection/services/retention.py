"""Room for the calls to come, and an end to those that are no longer kept.

The ledger and the sums of the days stay for ever.
"""

from __future__ import annotations

import datetime as dt
from typing import Any

import structlog
from django.conf import settings
from django.db import OperationalError, connection

from tenants.scope import platform_scope

log = structlog.get_logger(__name__)

WEEKS_AHEAD = 4
AT_ONCE = 5_000

# What is not in a partition goes by its age, a bounded number of rows at a time.
_FORGET = """
DELETE FROM {table}
WHERE ctid = ANY (ARRAY(SELECT ctid FROM {table} WHERE {column} < %s ORDER BY {column} LIMIT {limit}))
"""
_AGING = (
    ("detection_idempotentcall", "created_at"),
    ("detection_hourlyusage", "hour"),
    ("detection_organizationhour", "hour"),
)


def make_room(*, now: dt.datetime) -> int:
    """Make the partitions of this week and the four to come that are missing; return how many were made.

    Waits a fifth of a second for its locks at most, and makes none when it does not get them: it is called again, and
    four weeks ahead is time enough.
    """
    return _patiently("SELECT detection_make_partitions(%s, %s)", [now, WEEKS_AHEAD]) or 0


def forget_old_calls(*, now: dt.datetime) -> str | None:
    """Drop the oldest week of calls if none of it is to be kept any more; return the name of what was dropped.

    A call is kept for CALLS_KEPT_DAYS and until its week is over. The hours of usage and the idempotency keys of that
    time go as well. Waits for locks as make_room does.
    """
    before = now - dt.timedelta(days=settings.CALLS_KEPT_DAYS)
    for table, column in _AGING:
        with platform_scope("forget old calls"), connection.cursor() as cursor:
            cursor.execute(_FORGET.format(table=table, column=column, limit=AT_ONCE), [before - dt.timedelta(days=1)])
    dropped = _patiently("SELECT detection_drop_partition(%s)", [before])
    if dropped:
        log.info("calls_forgotten", partition=dropped, before=before.isoformat())
    return dropped


def _patiently(sql: str, parameters: list[Any]) -> Any:
    """Run one of the functions that lock the table of calls; None if somebody held it."""
    try:
        with platform_scope("partitions of calls"), connection.cursor() as cursor:
            cursor.execute(sql, parameters)
            return cursor.fetchone()[0]
    except OperationalError as error:
        if getattr(error.__cause__, "sqlstate", None) != "55P03":
            raise
        log.info("partitions_busy", statement=sql)
        return None
