"""Input bytes on their way to a worker: in Redis, for as long as their job may live, and only so many at once.

Each minute has a counter of the bytes that jobs made in it still have here (a job's id says when it was made). The
counters of all minutes in which a living job can have been made are the whole; one that went wrong, because Redis threw
an input away by itself, is forgotten with its minute.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterable, Sequence
from typing import cast

import redis
from django.conf import settings

from detection.services.redis import client

# KEYS: the input, its minute, all minutes. ARGV: the bytes, seconds to live, the most bytes that may be there.
_PUT = """
local whole = 0
for i = 3, #KEYS do whole = whole + tonumber(redis.call('GET', KEYS[i]) or '0') end
local more = #ARGV[1] - redis.call('STRLEN', KEYS[1])
if whole + more > tonumber(ARGV[3]) then return redis.error_reply('NOROOM too many input bytes are in flight') end
redis.call('SET', KEYS[1], ARGV[1], 'EX', ARGV[2])
redis.call('INCRBY', KEYS[2], more)
redis.call('EXPIRE', KEYS[2], ARGV[2] + 120)
return whole + more
"""
# KEYS: an input and its minute, and so on.
_DELETE = """
for i = 1, #KEYS, 2 do
    local size = redis.call('STRLEN', KEYS[i])
    if size > 0 then
        redis.call('DEL', KEYS[i])
        if redis.call('EXISTS', KEYS[i + 1]) == 1 then redis.call('DECRBY', KEYS[i + 1], size) end
    end
end
"""


def _key(job_id: uuid.UUID | str) -> str:
    return f"input:{job_id}"


def _minute(number: int) -> str:
    return f"inputs:{number}"


def _minute_of(job_id: uuid.UUID | str) -> str:
    """Return the counter of the minute in which a job was made: the first 48 bits of its id are milliseconds."""
    return _minute((uuid.UUID(str(job_id)).int >> 80) // 60_000)


def _minutes() -> list[str]:
    """Return the counters of all minutes in which a job that still lives can have been made."""
    now = int(time.time()) // 60
    return [_minute(number) for number in range(now - settings.JOB_LIFE_SECONDS // 60 - 1, now + 2)]


def put(job_id: uuid.UUID, content: bytes) -> None:
    """Store a job's input bytes. Raises redis.RedisError if they could not be stored, or there is no room for them."""
    put_in(client(), job_id, content)


def put_in(client: redis.Redis, job_id: uuid.UUID, content: bytes) -> None:
    """Store a job's input bytes as one more command of `client`, which may be a pipeline and then raises for it."""
    keys = [_key(job_id), _minute_of(job_id), *_minutes()]
    client.eval(_PUT, len(keys), *keys, content, settings.JOB_LIFE_SECONDS, settings.MAX_INPUT_BYTES_IN_FLIGHT)


def is_full(error: Exception) -> bool:
    """Say whether an error of `put` or `put_in` means that there is no room, and not that Redis is away."""
    return "NOROOM" in str(error)


def get_many(job_ids: Sequence[uuid.UUID]) -> list[bytes | None]:
    """Return the inputs of jobs in the order asked for; None where one is gone."""
    if not job_ids:
        return []
    return cast("list[bytes | None]", client().mget([_key(job_id) for job_id in job_ids]))


def delete_in(client: redis.Redis, job_ids: Iterable[uuid.UUID | str]) -> None:
    """Drop the inputs of finished jobs, at least one, as one more command of `client`, which may be a pipeline."""
    keys = [key for job_id in job_ids for key in (_key(job_id), _minute_of(job_id))]
    client.eval(_DELETE, len(keys), *keys)


def bytes_in_flight() -> int:
    """Return how many input bytes there are. Raises redis.RedisError."""
    counters = cast("list[bytes | None]", client().mget(_minutes()))
    return sum(int(counter) for counter in counters if counter)
