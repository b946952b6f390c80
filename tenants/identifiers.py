"""Identifiers: every row's id is a UUIDv7, so that ids sort by time and indexes grow at one end."""

import uuid

from uuid_utils.compat import uuid7


def new_id() -> uuid.UUID:
    """Return a new UUIDv7."""
    return uuid7()
