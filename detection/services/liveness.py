"""Which workers live: each says so again and again, and is taken for dead when it no longer does.

Redis holds one sorted set of workers' ids by when their word runs out, and next to it what each last reported. The
clock is the server's, so that it does not matter on which machine a worker runs.
"""

from __future__ import annotations

from typing import Any, cast

import orjson

from detection.services.redis import client

_WORKERS = "workers"


def report(worker_id: str, facts: dict[str, object], *, seconds: int) -> None:
    """Say that a worker lives, and how it is, for the next `seconds`. Raises redis.RedisError."""
    now = _now()
    with client().pipeline() as pipe:
        pipe.zremrangebyscore(_WORKERS, "-inf", now)
        pipe.zadd(_WORKERS, {worker_id: now + seconds})
        pipe.set(_report_key(worker_id), orjson.dumps(facts), ex=seconds)
        pipe.execute()


def sign_off(worker_id: str) -> None:
    """Say that a worker is gone. Raises redis.RedisError."""
    with client().pipeline() as pipe:
        pipe.zrem(_WORKERS, worker_id)
        pipe.delete(_report_key(worker_id))
        pipe.execute()


def living() -> list[str]:
    """Return the ids of the workers that live. Raises redis.RedisError."""
    ids = cast("list[bytes]", client().zrange(_WORKERS, f"({_now()}", "+inf", byscore=True))
    return [worker_id.decode() for worker_id in ids]


def reports() -> dict[str, Any]:
    """Return what each living worker last reported, by its id. Raises redis.RedisError."""
    ids = living()
    found = client().mget([_report_key(worker_id) for worker_id in ids]) if ids else []
    return {worker_id: orjson.loads(facts) for worker_id, facts in zip(ids, found, strict=True) if facts is not None}


def _report_key(worker_id: str) -> str:
    return f"worker:{worker_id}"


def _now() -> float:
    seconds, microseconds = client().time()
    return seconds + microseconds / 1_000_000
