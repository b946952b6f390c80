"""Input bytes on their way to a worker: in Redis, for as long as their job may live."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Sequence
from typing import cast

import redis
from django.conf import settings

from detection.services.redis import client


def _key(job_id: uuid.UUID | str) -> str:
    return f"input:{job_id}"


def put(job_id: uuid.UUID, content: bytes) -> None:
    """Store a job's input bytes. Raises redis.RedisError if they could not be stored."""
    put_in(client(), job_id, content)


def put_in(client: redis.Redis, job_id: uuid.UUID, content: bytes) -> None:
    """Store a job's input bytes as one more command of `client`, which may be a pipeline."""
    client.set(_key(job_id), content, ex=settings.JOB_LIFE_SECONDS)


def get_many(job_ids: Sequence[uuid.UUID]) -> list[bytes | None]:
    """Return the inputs of jobs in the order asked for; None where one is gone."""
    if not job_ids:
        return []
    return cast("list[bytes | None]", client().mget([_key(job_id) for job_id in job_ids]))


def delete_in(client: redis.Redis, job_ids: Iterable[uuid.UUID | str]) -> None:
    """Drop the inputs of finished jobs, at least one, as one more command of `client`, which may be a pipeline."""
    client.delete(*[_key(job_id) for job_id in job_ids])
