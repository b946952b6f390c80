"""Months from a day, as people count them."""

from __future__ import annotations

import calendar
from datetime import datetime


def months_after(anchor: datetime, months: int) -> datetime:
    """Return the same day and time some months later, or the month's last day where it has no such day."""
    year, month = divmod(anchor.year * 12 + anchor.month - 1 + months, 12)
    day = min(anchor.day, calendar.monthrange(year, month + 1)[1])
    return anchor.replace(year=year, month=month + 1, day=day)


def month_around(anchor: datetime, now: datetime) -> tuple[datetime, datetime]:
    """Return the begin and the end of the month, counted from `anchor`, that `now` is in; not before the first."""
    months = max(0, (now.year - anchor.year) * 12 + now.month - anchor.month)
    if months and months_after(anchor, months) > now:
        months -= 1
    return months_after(anchor, months), months_after(anchor, months + 1)
