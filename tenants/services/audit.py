"""The log of who did what to an organization."""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import Any

from tenants.actors import Actor
from tenants.models import AuditEvent


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

    Needs the organization's scope; it is recorded if and only if the surrounding transaction commits.
    """
    return AuditEvent.objects.create(
        organization_id=organization_id,
        created_at=now,
        actor_kind=actor.kind.value,
        actor_id=actor.id,
        actor_name=actor.name,
        ip=actor.ip,
        action=action,
        target_kind=target_kind,
        target_id=target_id,
        before=before,
        after=after,
        reason=reason,
    )
