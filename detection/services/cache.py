"""Answers that were paid for once: the same image, model version and parameters again cost nothing for a while.

Only within one organization, whose id leads the key. Lost with Redis, which costs a Token, never an error.
"""

from __future__ import annotations

import hashlib
from typing import Any

import orjson
import redis
import structlog
from django.conf import settings

from detection.services.redis import client

log = structlog.get_logger(__name__)


def key_of(document: dict[str, Any]) -> str:
    """Return the key of the answer to a job, from its document: what was asked of which model, by whom."""
    question = (
        document["image"]["sha256"],
        document["model"],
        document["img_size"],
        document["parameters"],
    )
    digest = hashlib.sha256(orjson.dumps(question, option=orjson.OPT_SORT_KEYS)).hexdigest()
    return f"answer:{document['organization']}:{digest}"


def find(document: dict[str, Any]) -> list[dict[str, Any]] | None:
    """Return the predictions that answer the same question, if they are still kept."""
    if not settings.RESULT_CACHE_SECONDS:
        return None
    try:
        kept = client().get(key_of(document))
    except redis.RedisError as error:
        log.warning("result_cache_away", error=str(error))
        return None
    return orjson.loads(kept) if kept else None


def entry(document: dict[str, Any]) -> tuple[str, bytes] | None:
    """Return what to keep of a finished job, and under which key; None if it is not worth keeping."""
    if not settings.RESULT_CACHE_SECONDS or document["status"] != "succeeded" or document["usage"]["cached"]:
        return None
    return key_of(document), orjson.dumps(document["predictions"])
