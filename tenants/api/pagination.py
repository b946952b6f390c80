"""Pages of a list by cursor: stable while rows come and go, and as quick at the end as at the start."""

from __future__ import annotations

import base64
import binascii
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from django.db.models import Model, QuerySet
from drf_spectacular.utils import OpenApiParameter
from rest_framework.request import Request

from tenants.api.problems import Problem
from tenants.queries.pages import NEWEST, Order, page_after

DEFAULT_LIMIT = 50
MAX_LIMIT = 200

PAGE_PARAMETERS = [
    OpenApiParameter(
        "limit",
        {"type": "integer", "minimum": 1, "maximum": MAX_LIMIT, "default": DEFAULT_LIMIT},
        description="How many rows to return.",
    ),
    OpenApiParameter(
        "cursor",
        {"type": "string", "pattern": "^[A-Za-z0-9_-]{22}$"},
        description="`next_cursor` of the page before.",
    ),
]

Row = TypeVar("Row", bound=Model)


@dataclass(frozen=True)
class Page(Generic[Row]):
    """Rows of one page and the cursor of the next one (None after the last)."""

    rows: list[Row]
    next_cursor: str | None

    def answer(self, data: Any) -> dict[str, Any]:
        """Return the body of the answer, `data` standing for the rows."""
        return {"data": data, "next_cursor": self.next_cursor}


def paginate(request: Request, queryset: QuerySet[Row], order: Order = NEWEST) -> Page[Row]:
    """Return the page that `?limit=&cursor=` asks for, latest first unless told otherwise. Raises `validation_error`.

    A cursor is the last id that the caller has seen.
    """
    cursor, limit = _asked(request)
    rows, following = page_after(queryset, order=order, cursor=cursor, limit=limit)
    return Page(rows, _encode(following) if following else None)


def paginate_by(request: Request, fetch: Callable[[uuid.UUID | None, int], list[Row]]) -> Page[Row]:
    """Return the page that `?limit=&cursor=` asks for of what `fetch` finds: at most so many rows behind a cursor."""
    cursor, limit = _asked(request)
    rows = fetch(cursor, limit + 1)
    return Page(rows[:limit], _encode(rows[limit - 1].pk) if len(rows) > limit else None)


def _asked(request: Request) -> tuple[uuid.UUID | None, int]:
    limit = _limit(request.query_params.get("limit"))
    cursor = request.query_params.get("cursor")
    return (None if cursor is None else _decode(cursor)), limit


def _limit(text: str | None) -> int:
    if text is None:
        return DEFAULT_LIMIT
    if not (text.isascii() and text.isdigit() and len(text) < 10 and 1 <= int(text) <= MAX_LIMIT):
        raise Problem("validation_error", f"limit is a whole number from 1 to {MAX_LIMIT}.")
    return int(text)


def _encode(row_id: uuid.UUID) -> str:
    return base64.urlsafe_b64encode(row_id.bytes).rstrip(b"=").decode()


def _decode(cursor: str) -> uuid.UUID:
    try:
        return uuid.UUID(bytes=base64.b64decode(cursor.encode("ascii") + b"==", altchars=b"-_", validate=True))
    except (ValueError, binascii.Error):
        raise Problem("validation_error", "This cursor is none of ours: take next_cursor from a page.") from None
