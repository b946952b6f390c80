"""The cache: Redis, and while it is away this process's own memory.

What is kept here counts attempts to sign in and the like. Without Redis each process counts for itself, so that a limit
of n holds as n times the number of processes: signing in works on, and stays bounded.
"""

from __future__ import annotations

import time
from typing import Any

import structlog
from django.core.cache.backends.locmem import LocMemCache
from django.core.cache.backends.redis import RedisCache
from redis.exceptions import RedisError

log = structlog.get_logger(__name__)

# After a failure nobody asks Redis again for this long, so that requests do not wait for a dead server one by one.
PAUSE_SECONDS = 1.0
_paused_until = 0.0


class SteadyCache(RedisCache):
    """Django's Redis cache, which answers from memory for a second after Redis failed."""

    def __init__(self, server: str, params: dict[str, Any]) -> None:
        super().__init__(server, params)
        own = {name: value for name, value in params.items() if name != "OPTIONS"}
        self._memory = LocMemCache("while-redis-is-away", own)


def _steady(name: str) -> Any:
    redis_does = getattr(RedisCache, name)

    def act(self: SteadyCache, *args: Any, **kwargs: Any) -> Any:
        global _paused_until
        if time.monotonic() >= _paused_until:
            try:
                return redis_does(self, *args, **kwargs)
            except RedisError as error:
                _paused_until = time.monotonic() + PAUSE_SECONDS
                log.warning("cache_away", error=str(error), pause_seconds=PAUSE_SECONDS)
        return getattr(self._memory, name)(*args, **kwargs)

    act.__name__ = name
    act.__doc__ = redis_does.__doc__
    return act


for _name in (
    "add", "get", "set", "touch", "delete", "has_key", "incr", "get_many", "set_many", "delete_many", "clear",
):  # fmt: skip
    setattr(SteadyCache, _name, _steady(_name))
