"""What the portal reads about the running product itself."""

from __future__ import annotations

from typing import Any

import orjson

from detection.services.redis import client


def live_workers() -> dict[str, Any]:
    """Return what each worker last reported (within the last ten seconds), by its id."""
    redis = client()
    keys = list(redis.scan_iter("worker:*", count=1000))
    reports = redis.mget(keys) if keys else []
    return {
        key.decode().partition(":")[2]: orjson.loads(report)
        for key, report in zip(keys, reports, strict=True)
        if report is not None
    }
