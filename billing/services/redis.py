"""Redis, as limits use it: quick, and done without when it is away."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import lru_cache
from typing import TypeVar

import redis
import structlog
from django.conf import settings
from redis.backoff import NoBackoff
from redis.commands.core import Script
from redis.retry import Retry

log = structlog.get_logger(__name__)

TIMEOUT_SECONDS = 0.25
# After a failure nobody asks again for this long, so that calls do not wait for a dead server one by one.
PAUSE_SECONDS = 1.0

T = TypeVar("T")
_paused_until = 0.0


@lru_cache(maxsize=4)
def _client(url: str) -> redis.Redis:
    return redis.Redis.from_url(
        url,
        socket_timeout=TIMEOUT_SECONDS,
        socket_connect_timeout=TIMEOUT_SECONDS,
        retry=Retry(NoBackoff(), retries=1),  # a connection that went stale in the pool
    )


@lru_cache(maxsize=16)
def script(client: redis.Redis, text: str) -> Script:
    """Return a script that `client` runs by its digest, which is reckoned once and not for every call."""
    return client.register_script(text)


def with_redis(work: Callable[[redis.Redis], T]) -> T | None:
    """Return what `work(client)` returns, or None when Redis is away or has just been."""
    global _paused_until
    if time.monotonic() < _paused_until:
        return None
    try:
        return work(_client(settings.REDIS_URL))
    except redis.RedisError as error:
        _paused_until = time.monotonic() + PAUSE_SECONDS
        log.warning("redis_away", error=str(error), pause_seconds=PAUSE_SECONDS)
        return None


def resume() -> None:
    """Ask Redis again at once."""
    global _paused_until
    _paused_until = 0.0
