"""Tells the workers that jobs wait. Only a hint: the job rows are the queue, so a lost or doubled ring does no harm.

Rings for the same kind of job are one ring until a worker has heard it: a flood of calls costs one message.
"""

from __future__ import annotations

import uuid
from typing import Any

import redis
from celery import current_app

from detection.services.redis import client

TASK, QUEUE = "workers.run_jobs", "inference"
# A ring that no worker has answered by then may be lost, and the next call rings anew.
UNANSWERED_MS = 1000


def _key(version_id: uuid.UUID, img_size: int) -> str:
    return f"doorbell:{version_id}:{img_size}"


def ring(version_id: uuid.UUID, img_size: int, priority_class: int = 1) -> None:
    """Ask a worker to claim jobs of one model version and size. Raises redis.RedisError or kombu's OperationalError.

    The jobs must be committed: a worker that has answered an earlier ring will look for them only once.
    """
    if touch_in(client(), version_id, img_size):
        call(version_id, img_size, priority_class)


def touch_in(client: redis.Redis, version_id: uuid.UUID, img_size: int) -> Any:
    """Say whether nobody else has rung yet, as one more command of `client`, which may be a pipeline: then `call`."""
    return client.set(_key(version_id, img_size), b"", nx=True, px=UNANSWERED_MS)


def call(version_id: uuid.UUID, img_size: int, priority_class: int) -> None:
    """Send the message that a touched bell stands for."""
    current_app.send_task(
        TASK, [str(version_id), img_size], queue=QUEUE, priority=priority_class, ignore_result=True, retry=False
    )


def answer(version_id: uuid.UUID, img_size: int) -> None:
    """Let the next call ring again. A worker answers before it looks at the queue, so that no job falls in between."""
    client().delete(_key(version_id, img_size))
