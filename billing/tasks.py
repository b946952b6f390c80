"""The scheduler's part in this room, by the names that it is asked for: thin doors to what does the work."""

from __future__ import annotations

from celery import shared_task
from django.utils import timezone

from billing.services.crossings import raise_crossings


@shared_task(name="billing.raise_crossings")
def raise_crossed_levels() -> None:
    """Every two seconds: make alerts of the levels that were reached."""
    raise_crossings(now=timezone.now())
