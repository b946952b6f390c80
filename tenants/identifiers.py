"""Identifiers: every row's id is a UUIDv7, so that ids sort by time and indexes grow at one end."""

import uuid
from datetime import datetime

from uuid_utils.compat import uuid7


def new_id() -> uuid.UUID:
    """Return a new UUIDv7."""
    return uuid7()


def first_id_at(moment: datetime) -> uuid.UUID:
    """Return what no id made at that moment or later is less than: a range of ids is a range of time."""
    return uuid.UUID(int=int(moment.timestamp() * 1000) << 80)
