"""Tells the workers that jobs wait. Only a hint: the job rows are the queue, so a lost or doubled ring does no harm."""

from __future__ import annotations

import uuid

from celery import current_app

TASK, QUEUE = "workers.run_jobs", "inference"


def ring(version_id: uuid.UUID, img_size: int, priority_class: int = 1) -> None:
    """Ask a worker to claim jobs of one model version and size. Raises redis.RedisError or kombu's OperationalError."""
    current_app.send_task(
        TASK, [str(version_id), img_size], queue=QUEUE, priority=priority_class, ignore_result=True, retry=False
    )
