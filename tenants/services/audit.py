"""The log of who did what to an organization: recording events, and sealing them into its chain."""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import Any

from django.db import connection

from tenants.actors import Actor
from tenants.models import AuditEvent
from tenants.origin import origin
from tenants.scope import platform_scope
from tenants.secrets import without_secrets

SEALED_AT_ONCE = 1000


def record(
    *,
    organization_id: uuid.UUID,
    actor: Actor,
    action: str,
    target_kind: str,
    target_id: uuid.UUID,
    before: dict[str, Any] | None = None,
    after: dict[str, Any] | None = None,
    reason: str = "",
    now: datetime,
) -> AuditEvent:
    """Record that `actor` did `action` (`member.role_changed`) to the target, with what changed and no secrets.

    From where it was done is taken from the request that is being answered. Needs the organization's scope (or the
    platform's). It is recorded if and only if the surrounding transaction commits, takes no lock, and is sealed into
    the organization's chain seconds later, by `seal_events`.
    """
    came = origin()
    return AuditEvent.objects.create(
        organization_id=organization_id,
        created_at=now,
        actor_kind=actor.kind.value,
        actor_id=actor.id,
        actor_name=without_secrets(actor.name),
        ip=actor.ip or came.ip,
        user_agent=without_secrets(came.user_agent),
        session=came.session,
        request_id=came.request_id,
        action=action,
        target_kind=target_kind,
        target_id=target_id,
        before=without_secrets(before),
        after=without_secrets(after),
        reason=without_secrets(reason),
    )


def seal_events(*, now: datetime) -> int:
    """Seal every event that waits into the chain of its organization, oldest first; return how many.

    Each organization in short transactions of their own, which lock its chain and nothing else.
    """
    with platform_scope("seal audit events"), connection.cursor() as cursor:
        cursor.execute("SELECT DISTINCT org_id FROM tenants_auditevent WHERE sequence IS NULL ORDER BY org_id")
        waiting = [organization_id for (organization_id,) in cursor.fetchall()]
    return sum(seal_events_of(organization_id=organization_id, now=now) for organization_id in waiting)


def seal_events_of(*, organization_id: uuid.UUID, now: datetime) -> int:
    """Seal the events of one organization that wait; return how many."""
    total = 0
    while True:
        with platform_scope("seal audit events"), connection.cursor() as cursor:
            cursor.execute("SELECT tenants_seal_audit(%s, %s, %s)", [organization_id, SEALED_AT_ONCE, now])
            sealed: int = cursor.fetchone()[0]
        total += sealed
        if sealed < SEALED_AT_ONCE:
            return total
