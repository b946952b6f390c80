"""Times as callers write them."""

from __future__ import annotations

import datetime as dt

from django.utils.dateparse import parse_date, parse_datetime

FIRST_YEAR, LAST_YEAR = 2000, 2200


def read_moment(text: str) -> dt.datetime:
    """Return an RFC 3339 time, or the beginning of a day, in UTC; what names no offset is UTC.

    Raises ValueError for anything else, and for years outside of 2000 to 2200. It is UTC from here on because a valid
    offset can be one that PostgreSQL refuses (more than 15:59).
    """
    moment = parse_datetime(text)
    if moment is None and (day := parse_date(text)) is not None:
        moment = dt.datetime.combine(day, dt.time(), dt.UTC)
    if moment is None or not FIRST_YEAR <= moment.year <= LAST_YEAR:
        raise ValueError(text)
    return moment.astimezone(dt.UTC) if moment.tzinfo else moment.replace(tzinfo=dt.UTC)
