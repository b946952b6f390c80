"""What the billing page shows of the automatic top-up."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from billing.queries.auto_top_up import state_of


def section(_request: object, now: datetime) -> dict[str, Any] | None:
    """Return how it is; nothing where buying is not set up and it never was."""
    found = state_of(now)
    return found if found["enabled"] or found["row"] else None
