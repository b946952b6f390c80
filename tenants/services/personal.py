"""What a person does to their own account, told to every organization that they belong to."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from tenants.actors import user_actor
from tenants.models import User
from tenants.queries.memberships import memberships_of
from tenants.scope import organization_scope
from tenants.services import audit


def record_personal(
    *, user: User, action: str, ip: str | None, now: datetime, after: dict[str, Any] | None = None
) -> None:
    """Write `action` (`person.signed_in`) into the audit log of each of the person's organizations. Opens scopes."""
    for membership in memberships_of(user.id):
        with organization_scope(membership.organization_id):
            audit.record(
                organization_id=membership.organization_id,
                actor=user_actor(user.id, user.email, ip),
                action=action,
                target_kind="user",
                target_id=user.id,
                after=after,
                now=now,
            )
