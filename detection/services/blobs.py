"""Input bytes on their way to a worker: in Redis, for as long as their job may live."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from typing import cast

from django.conf import settings

from detection.services.redis import client


def _key(job_id: uuid.UUID) -> str:
    return f"input:{job_id}"


def put(job_id: uuid.UUID, content: bytes) -> None:
    """Store a job's input bytes. Raises redis.RedisError if they could not be stored."""
    client().set(_key(job_id), content, ex=settings.JOB_LIFE_SECONDS)


def get_many(job_ids: Sequence[uuid.UUID]) -> list[bytes | None]:
    """Return the inputs of jobs in the order asked for; None where one is gone."""
    if not job_ids:
        return []
    return cast("list[bytes | None]", client().mget([_key(job_id) for job_id in job_ids]))


def delete(job_ids: Sequence[uuid.UUID]) -> None:
    """Drop the inputs of finished jobs."""
    if job_ids:
        client().delete(*[_key(job_id) for job_id in job_ids])
