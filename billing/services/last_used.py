"""When and from where each sub-token was last used, without a database write in any call.

Each process tells Redis of a sub-token's use at most once a minute; the scheduler writes what it finds there, so a row
changes at most once per round.
"""

from __future__ import annotations

import time
import uuid
from datetime import UTC, datetime
from typing import Any

from django.db import connection
from redis import Redis

from billing.services.redis import with_redis
from tenants.scope import platform_scope

USED = "sub_tokens:used"
NOTE_EVERY_SECONDS = 60.0
REMEMBERED = 20_000

_noted_at: dict[uuid.UUID, float] = {}

WRITE = """
UPDATE billing_subtoken AS s SET last_used_at = used.at, last_used_ip = used.ip
FROM unnest(%s::uuid[], %s::timestamptz[], %s::inet[]) AS used (id, at, ip)
WHERE s.id = used.id AND (s.last_used_at IS NULL OR s.last_used_at < used.at)
"""


def note_use(sub_token_id: uuid.UUID, ip: str | None, now: datetime) -> None:
    """Remember that a sub-token was used from `ip`, for `write_last_used` to write down."""
    clock = time.monotonic()
    if clock - _noted_at.get(sub_token_id, -NOTE_EVERY_SECONDS) < NOTE_EVERY_SECONDS:
        return
    if len(_noted_at) >= REMEMBERED:
        _noted_at.clear()
    _noted_at[sub_token_id] = clock
    with_redis(lambda client: client.hset(USED, str(sub_token_id), f"{now.timestamp():.3f} {ip or ''}"))


def write_last_used() -> int:
    """Write the uses noted since the last round, and return how many sub-tokens that were.

    For the scheduler, once a minute. Goes through the platform's door: the notes are of every organization.
    """
    notes: dict[bytes, bytes] = with_redis(_take_notes) or {}
    if not notes:
        return 0
    ids, times, ips = [], [], []
    for sub_token_id, note in sorted(notes.items()):
        at, _, ip = note.decode().partition(" ")
        ids.append(uuid.UUID(sub_token_id.decode()))
        times.append(datetime.fromtimestamp(float(at), UTC))
        ips.append(ip or None)
    with platform_scope("write when sub-tokens were last used"), connection.cursor() as cursor:
        cursor.execute(WRITE, [ids, times, ips])
        return cursor.rowcount


def _take_notes(client: Redis) -> Any:
    pipeline = client.pipeline(transaction=True)
    pipeline.hgetall(USED)
    pipeline.delete(USED)
    notes, _ = pipeline.execute()
    return notes
