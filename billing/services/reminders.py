"""Reminding people, 7 days and 1 day before, that a sub-token ends."""

from __future__ import annotations

from datetime import datetime, timedelta

REMIND_BEFORE = (timedelta(days=7), timedelta(days=1))


def next_reminder(expires_at: datetime, now: datetime) -> datetime | None:
    """Return when somebody is to be reminded next that a sub-token ends; None when all those times are past.

    A life that is set shorter than a reminder's lead brings that reminder not late, but not at all.
    """
    return next((expires_at - lead for lead in REMIND_BEFORE if expires_at - lead > now), None)
