"""The periodic work on calls, by the names that the scheduler calls it."""

from __future__ import annotations

from celery import shared_task
from django.utils import timezone

from detection.services.retention import forget_old_calls, make_room


@shared_task(name="detection.keep_partitions")
def keep_partitions() -> None:
    """Every ten minutes: make room for the weeks to come, and forget a week of calls that is no longer kept."""
    now = timezone.now()
    make_room(now=now)
    forget_old_calls(now=now)
