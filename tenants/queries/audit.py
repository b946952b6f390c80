"""The audit log of the organization in scope: searching it, and its events as they are exported."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from django.db.models import Q, QuerySet, TextField
from django.db.models.functions import Cast

from tenants.audit_export import FACTS
from tenants.models import AuditEvent
from tenants.scope import organization_scope

EXPORT_BATCH = 500
# Where free text is looked for.
SEARCHED = (
    "actor_name",
    "action",
    "target_kind",
    "reason",
    "request_id",
    "session",
    "ip_text",
    "before_text",
    "after_text",
)


@dataclass(frozen=True)
class AuditSearch:
    """What is looked for; None or empty means everything. `text` is found anywhere, capital or small."""

    action: str = ""
    actor_id: uuid.UUID | None = None
    target_id: uuid.UUID | None = None
    target_kind: str = ""
    since: datetime | None = None
    until: datetime | None = None
    text: str = ""

    def __bool__(self) -> bool:
        return self != AuditSearch()


def audit_events(organization_id: uuid.UUID, search: AuditSearch | None = None) -> QuerySet[AuditEvent]:
    """Return an organization's events, newest first. `until` is not included. Needs the organization's scope."""
    found = AuditEvent.objects.filter(organization_id=organization_id).order_by("-id")
    if search is None:
        return found
    exact: dict[str, Any] = {
        "action": search.action,
        "actor_id": search.actor_id,
        "target_id": search.target_id,
        "target_kind": search.target_kind,
        "created_at__gte": search.since,
        "created_at__lt": search.until,
    }
    found = found.filter(**{name: value for name, value in exact.items() if value})
    if search.text:
        found = found.annotate(
            before_text=Cast("before", TextField()),
            after_text=Cast("after", TextField()),
            ip_text=Cast("ip", TextField()),
        )
        anywhere = Q()
        for name in SEARCHED:
            anywhere |= Q(**{f"{name}__icontains": search.text})
        if (found_id := _uuid(search.text)) is not None:
            anywhere |= Q(actor_id=found_id) | Q(target_id=found_id) | Q(id=found_id)
        found = found.filter(anywhere)
    return found


def every_event(organization_id: uuid.UUID, search: AuditSearch | None = None) -> Iterator[AuditEvent]:
    """Yield all events of a search, newest first, in memory for one batch; each batch opens a scope of its own."""
    cursor: uuid.UUID | None = None
    while True:
        with organization_scope(organization_id):
            found = audit_events(organization_id, search)
            batch = list((found.filter(id__lt=cursor) if cursor else found)[:EXPORT_BATCH])
        yield from batch
        if len(batch) < EXPORT_BATCH:
            return
        cursor = batch[-1].id


def export_line(event: AuditEvent) -> dict[str, Any]:
    """Return an event as it is exported: every fact that its hash covers, in the form that the hash is made of."""
    facts = {name: getattr(event, name) for name in FACTS if name != "organization"}
    facts |= {
        "organization": str(event.organization_id),
        "id": str(event.id),
        "created_at": event.created_at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
        "actor_id": str(event.actor_id) if event.actor_id else None,
        "target_id": str(event.target_id),
    }
    return facts | {"sequence": event.sequence, "previous_hash": event.previous_hash, "hash": event.hash}


def _uuid(text: str) -> uuid.UUID | None:
    try:
        return uuid.UUID(text.strip())
    except ValueError:
        return None
