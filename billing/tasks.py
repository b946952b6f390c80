"""The scheduler's part in this room, by the names that it is asked for: thin doors to what does the work."""

from __future__ import annotations

from celery import shared_task
from django.utils import timezone

from billing.services.crossings import raise_crossings
from billing.services.reminders import remind_of_ends


@shared_task(name="billing.raise_crossings")
def raise_crossed_levels() -> None:
    """Every two seconds: make alerts of the levels that were reached."""
    raise_crossings(now=timezone.now())


@shared_task(name="billing.remind_of_ends")
def remind_of_sub_tokens_that_end() -> None:
    """Every minute: remind people of sub-tokens that end soon."""
    remind_of_ends(now=timezone.now())
