"""Identifiers: every row's id is a UUIDv7, so that ids sort by time and indexes grow at one end."""

import uuid
from datetime import UTC, datetime, timedelta

from uuid_utils.compat import uuid7

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def new_id() -> uuid.UUID:
    """Return a new UUIDv7."""
    return uuid7()


def first_id_at(moment: datetime) -> uuid.UUID:
    """Return what no id made at that moment or later is less than: a range of ids is a range of time."""
    return uuid.UUID(int=(moment - _EPOCH) // timedelta(milliseconds=1) << 80)
