"""This process's connections to Redis. What lies there may be lost at any time."""

from __future__ import annotations

from functools import lru_cache

import redis
from django.conf import settings

CONNECT_SECONDS = 2.0
ANSWER_SECONDS = 10.0


@lru_cache(maxsize=1)
def client() -> redis.Redis:
    """Return the client shared by all threads of this process."""
    return redis.Redis.from_url(
        settings.REDIS_URL,
        socket_connect_timeout=CONNECT_SECONDS,
        socket_timeout=ANSWER_SECONDS,
        health_check_interval=30,
    )
