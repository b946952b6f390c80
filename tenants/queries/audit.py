"""The audit log of the organization in scope."""

from __future__ import annotations

import uuid

from tenants.models import AuditEvent

PAGE = 50


def audit_events(*, before: uuid.UUID | None = None, action: str = "") -> tuple[list[AuditEvent], uuid.UUID | None]:
    """Return a page of events, newest first, and the id to go on from (None at the end).

    `before` is where the page before ended; `action` keeps one kind of event.
    """
    events = AuditEvent.objects.order_by("-id")
    if before is not None:
        events = events.filter(id__lt=before)
    if action:
        events = events.filter(action=action)
    page = list(events[: PAGE + 1])
    return page[:PAGE], page[PAGE - 1].id if len(page) > PAGE else None
