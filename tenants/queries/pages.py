"""Lists a page at a time, in any order: as quick at the end as at the start, and steady while rows come and go."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar

from django.db import OperationalError, connection, transaction
from django.db.models import F, Model, Q, QuerySet
from django.db.models.expressions import Combinable

Row = TypeVar("Row", bound=Model)
STOPPED = "57014"


class TooMuchToRead(Exception):
    """What was asked for is not found in the time that somebody waits for a page."""


@contextmanager
def no_longer_than(seconds: float) -> Iterator[None]:
    """Stop looking after so many seconds. Raises TooMuchToRead; the transaction around it can go on."""
    try:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(
                "SELECT current_setting('statement_timeout'), set_config('statement_timeout', %s, true)",
                [f"{round(seconds * 1000)}ms"],
            )
            before, _limit = cursor.fetchone()
            yield
            cursor.execute("SELECT set_config('statement_timeout', %s, true)", [before])
    except OperationalError as error:
        if getattr(error.__cause__, "sqlstate", None) != STOPPED:
            raise
        raise TooMuchToRead from error


@dataclass(frozen=True)
class Order:
    """What rows are sorted by, never null; those that are equal in it by their ids, which are the order of time."""

    key: Combinable = field(default_factory=lambda: F("id"))
    descending: bool = False


NEWEST = Order(descending=True)


def page_after(
    rows: QuerySet[Row], *, order: Order = NEWEST, cursor: uuid.UUID | None, limit: int
) -> tuple[list[Row], uuid.UUID | None]:
    """Return at most `limit` rows behind the one with the id `cursor`, and the cursor of the next page if there is one.

    A cursor that is no row's leads to the first page, unless the order is that of the ids themselves.
    """
    found: Any = rows.annotate(order_key=order.key)
    if cursor is not None:
        found = _behind(found, order, cursor)
    sign = "-" if order.descending else ""
    page = list(found.order_by(f"{sign}order_key", f"{sign}id")[: limit + 1])
    more = len(page) > limit
    return page[:limit], page[limit - 1].pk if more else None


def _behind(rows: Any, order: Order, cursor: uuid.UUID) -> Any:
    operator = "lt" if order.descending else "gt"
    if order.key == F("id"):
        return rows.filter(**{f"id__{operator}": cursor})
    # The row may have left the list by its filters, but not its place in the order.
    everything = rows.model._default_manager.annotate(order_key=order.key).filter(id=cursor)
    place = everything.values_list("order_key", flat=True).first()
    if place is None:
        return rows
    return rows.filter(Q(**{f"order_key__{operator}": place}) | Q(**{"order_key": place, f"id__{operator}": cursor}))
