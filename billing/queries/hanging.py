"""Where accounts hang: what is above an account, and what is below. Parents and modes never change.

Read in the scope of the caller's transaction.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from typing import NamedTuple

from django.db import connection

from billing.enums import AccountMode


class Place(NamedTuple):
    """Where an account hangs. The wallet has no parent."""

    id: uuid.UUID
    parent_id: uuid.UUID | None
    kind: str
    mode: str


_ABOVE = """
WITH RECURSIVE above AS (
    SELECT id, parent_id, kind, mode FROM billing_account WHERE id = ANY (%s::uuid[])
    UNION
    SELECT a.id, a.parent_id, a.kind, a.mode FROM above JOIN billing_account a ON a.id = above.parent_id
)
SELECT id, parent_id, kind, mode FROM above
"""
_BELOW = """
WITH RECURSIVE below AS (
    SELECT id, parent_id, kind, mode FROM billing_account WHERE id = %s
    UNION ALL
    SELECT a.id, a.parent_id, a.kind, a.mode FROM below JOIN billing_account a ON a.parent_id = below.id
)
SELECT id, parent_id, kind, mode FROM below
"""


def places_above(account_ids: Iterable[uuid.UUID]) -> dict[uuid.UUID, Place]:
    """Return the places of accounts and of all that is above them, by id."""
    with connection.cursor() as cursor:
        cursor.execute(_ABOVE, [list(account_ids)])
        return {row[0]: Place(*row) for row in cursor.fetchall()}


def places_below(account_id: uuid.UUID) -> dict[uuid.UUID, Place]:
    """Return the places of an account and of all that hangs below it, by id, upper ones first."""
    with connection.cursor() as cursor:
        cursor.execute(_BELOW, [account_id])
        return {row[0]: Place(*row) for row in cursor.fetchall()}


def capped_between(places: dict[uuid.UUID, Place], lower: uuid.UUID, upper: uuid.UUID) -> tuple[uuid.UUID, ...]:
    """Return the capped accounts from `lower` (itself left out) up to `upper` (left out too), the nearest first."""
    found = []
    at = places[lower].parent_id
    while at is not None and at != upper:
        if places[at].mode == AccountMode.CAPPED:
            found.append(at)
        at = places[at].parent_id
    return tuple(found)


def depth(places: dict[uuid.UUID, Place], account_id: uuid.UUID) -> int:
    """Return how many accounts are above one: 0 for the wallet."""
    steps, at = 0, places[account_id].parent_id
    while at is not None:
        steps, at = steps + 1, places[at].parent_id
    return steps
