"""Doing once what is asked twice with the same key."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db import OperationalError, connection, transaction
from psycopg.errors import LockNotAvailable

from tenants.errors import KeyInUse, KeyUsedForOther
from tenants.identifiers import new_id
from tenants.models import IdempotencyRecord
from tenants.scope import organization_scope, platform_scope

# How long a duplicate waits for the first request of its key.
WAIT = "5s"
KEPT = timedelta(days=30)
# Longer than any other service keeps a request waiting.
ABANDONED = timedelta(minutes=2)

CLAIM = """
INSERT INTO tenants_idempotencyrecord (id, org_id, created_at, key, route, request_hash, body)
VALUES (%s, %s, %s, %s, %s, %s, '') ON CONFLICT (org_id, key, route) DO NOTHING
"""


@dataclass(frozen=True)
class Outcome:
    """What was answered: status, JSON, and whether it was answered before."""

    status: int
    body: str
    replayed: bool


def do_once(
    *,
    organization_id: uuid.UUID,
    key: str,
    route: str,
    request_hash: str,
    work: Callable[[], tuple[int, str]],
    now: datetime,
) -> Outcome:
    """Do `work` unless this key was used on this route before; then return the first answer instead.

    `work` returns status and JSON to keep. What it raises is kept nowhere: the same key may be tried again. Needs the
    organization's scope; holds the key until the transaction ends, so a duplicate waits for the first request, and
    raises KeyInUse if that takes too long. Raises KeyUsedForOther when the first request was a different one.
    """
    with transaction.atomic():
        if not _claim(organization_id, key, route, request_hash, now):
            record = _earlier(organization_id, key, route, request_hash)
            return Outcome(record.status or 200, record.body, replayed=True)
        status, body = work()
        IdempotencyRecord.objects.filter(organization_id=organization_id, key=key, route=route).update(
            status=status, body=body
        )
    return Outcome(status, body, replayed=False)


def do_once_apart(
    *,
    organization_id: uuid.UUID,
    key: str,
    route: str,
    request_hash: str,
    work: Callable[[], tuple[int, str]],
    now: datetime,
) -> Outcome:
    """Like `do_once`, for work that asks another service: it runs in no transaction, and opens its own scopes.

    While the first request is under way, a duplicate raises KeyInUse. One that has not come to an end in ABANDONED is
    taken for dead, and the work done again: it must bear that.
    """
    found: dict[str, Any] = {"organization_id": organization_id, "key": key, "route": route}
    with organization_scope(organization_id):
        if not _claim(organization_id, key, route, request_hash, now):
            record = _earlier(organization_id, key, route, request_hash)
            if record.status is not None:
                return Outcome(record.status, record.body, replayed=True)
            if record.created_at > now - ABANDONED:
                raise KeyInUse
            record.created_at = now
            record.save(update_fields=["created_at"])
    try:
        status, body = work()
    except BaseException:
        with organization_scope(organization_id):
            not_done(**found)
        raise
    with organization_scope(organization_id):
        IdempotencyRecord.objects.filter(**found).update(status=status, body=body)
    return Outcome(status, body, replayed=False)


def first_time(*, organization_id: uuid.UUID, key: str, route: str, now: datetime) -> bool:
    """Tell whether this key comes to this route for the first time; undone if the transaction around it is.

    Needs the organization's scope; holds the key until the transaction ends. Raises KeyInUse when the first request
    takes too long.
    """
    with transaction.atomic():
        return _claim(organization_id, key, route, "", now)


def not_done(*, organization_id: uuid.UUID, key: str, route: str) -> None:
    """Give a key back whose work was done outside of its transaction, and failed. Needs the organization's scope."""
    IdempotencyRecord.objects.filter(organization_id=organization_id, key=key, route=route).delete()


def forget_old_answers(now: datetime) -> int:
    """Delete records older than 30 days and return how many. For the scheduler, through the platform's door."""
    with platform_scope("forget old idempotency records", patient=True):
        return IdempotencyRecord.objects.filter(created_at__lt=now - KEPT).delete()[0]


def _earlier(organization_id: uuid.UUID, key: str, route: str, request_hash: str) -> IdempotencyRecord:
    """Return the record of a key's first request, locked. Raises KeyUsedForOther when that was a different one."""
    records = IdempotencyRecord.objects.select_for_update()
    record = records.get(organization_id=organization_id, key=key, route=route)
    if record.request_hash != request_hash:
        raise KeyUsedForOther
    return record


def _claim(organization_id: uuid.UUID, key: str, route: str, request_hash: str, now: datetime) -> bool:
    with connection.cursor() as cursor:
        cursor.execute("SELECT current_setting('lock_timeout'), set_config('lock_timeout', %s, true)", [WAIT])
        previous = cursor.fetchone()[0]
        try:
            cursor.execute(CLAIM, [new_id(), organization_id, now, key, route, request_hash])
        except OperationalError as error:
            if isinstance(error.__cause__, LockNotAvailable):
                raise KeyInUse from error
            raise
        claimed = cursor.rowcount == 1
        cursor.execute("SELECT set_config('lock_timeout', %s, true)", [previous])
    return claimed
