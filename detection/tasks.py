"""The periodic work on calls, by the names that the scheduler calls it."""

from __future__ import annotations

from celery import shared_task
from django.utils import timezone

from detection.services.retention import forget_old_calls, make_room
from detection.services.waiting_room import admit_waiting
from detection.services.weeks import sum_up_weeks
from tenants.beside import Beside

_room = Beside("waiting-room", lambda: admit_waiting(now=timezone.now()))


@shared_task(name="detection.admit_waiting")
def admit_waiting_jobs() -> None:
    """Every second: put jobs into the queue whose Tokens have come, beside the scheduler."""
    _room.start()


@shared_task(name="detection.keep_partitions")
def keep_partitions() -> None:
    """Every ten minutes: make room for the weeks to come, and forget a week of calls that is no longer kept."""
    now = timezone.now()
    make_room(now=now)
    forget_old_calls(now=now)


@shared_task(name="detection.sum_up_weeks")
def sum_up_weeks_that_are_over() -> None:
    """Every night: sum up the weeks of usage that are over."""
    sum_up_weeks(now=timezone.now())
