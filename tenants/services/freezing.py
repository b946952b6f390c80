"""Freezing an organization: nothing is spent or changed there until staff let it go on."""

from __future__ import annotations

import uuid
from datetime import datetime

from tenants.actors import Actor
from tenants.errors import NotFound
from tenants.models import Organization
from tenants.scope import organization_scope
from tenants.services import audit


def freeze_organization(*, organization_id: uuid.UUID, reason: str, actor: Actor, now: datetime) -> Organization:
    """Refuse every call and every change of an organization from now on; a frozen one is left as it is.

    Jobs that were accepted are finished and charged. Opens its own scope; locks the organization. Raises NotFound.
    """
    return _set(organization_id, frozen_at=now, reason=reason, actor=actor, now=now)


def unfreeze_organization(*, organization_id: uuid.UUID, reason: str, actor: Actor, now: datetime) -> Organization:
    """Let an organization go on; one that is not frozen is left as it is. Otherwise like `freeze_organization`."""
    return _set(organization_id, frozen_at=None, reason=reason, actor=actor, now=now)


def _set(
    organization_id: uuid.UUID, *, frozen_at: datetime | None, reason: str, actor: Actor, now: datetime
) -> Organization:
    with organization_scope(organization_id):
        organization = Organization.objects.select_for_update().filter(id=organization_id).first()
        if organization is None:
            raise NotFound
        if (organization.frozen_at is None) == (frozen_at is None):
            return organization
        before = organization.frozen_at
        organization.frozen_at = frozen_at
        organization.save(update_fields=["frozen_at"])
        audit.record(
            organization_id=organization_id,
            actor=actor,
            action="organization.frozen" if frozen_at else "organization.unfrozen",
            target_kind="organization",
            target_id=organization_id,
            before={"frozen_at": before},
            after={"frozen_at": frozen_at},
            reason=reason,
            now=now,
        )
        return organization
