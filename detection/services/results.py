"""How a worker hands a finished job to the request that waits for it.

One Redis list per job, with the job's public document in it. The row in the database is the truth; a lost message only
makes the waiting request look there.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from typing import Any

import orjson
from django.conf import settings

from billing.services import rate
from detection.services import blobs, cache
from detection.services.redis import client

KEPT_SECONDS = 120


def _key(job_id: uuid.UUID | str) -> str:
    return f"result:{job_id}"


def publish(documents: Sequence[dict[str, Any]]) -> None:
    """Hand over finished jobs (`answers.job_document`), and keep their answers for whoever asks the same again.

    Their inputs are dropped, and they no longer count as calls at a time of their sub-tokens. One round trip for all.
    Raises redis.RedisError; the jobs are settled then all the same.
    """
    with client().pipeline(transaction=False) as pipe:
        for document in documents:
            # First, for whoever takes the result may call again at once.
            rate.release_in(pipe, document["organization"], document["sub_token"], document["id"])
            key = _key(document["id"])
            pipe.rpush(key, orjson.dumps(document))
            pipe.expire(key, KEPT_SECONDS)
            if kept := cache.entry(document):
                pipe.set(*kept, ex=settings.RESULT_CACHE_SECONDS)
        blobs.delete_in(pipe, [document["id"] for document in documents])
        pipe.execute()


def wait(job_id: uuid.UUID, timeout: float) -> dict[str, Any] | None:
    """Return the document of a job that finishes within `timeout` seconds, else None.

    Taken, not copied: a second caller who waits for the same job must look at its row. Raises redis.RedisError.
    """
    taken = client().blpop([_key(job_id)], timeout=timeout)
    return orjson.loads(taken[1]) if taken else None
