"""Staff who look at an organization's pages as one of its members sees them: for a reason, for half an hour.

Nothing can be changed meanwhile, and no secret is shown: pages that would, need a permission that this never has.
"""

from __future__ import annotations

import uuid
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any

from tenants.actors import Actor
from tenants.errors import NotFound, StillLooking
from tenants.models import Membership
from tenants.scope import organization_scope
from tenants.services import audit

LIFE = timedelta(minutes=30)


@dataclass(frozen=True)
class Impersonation:
    """Whose eyes are borrowed, and until when. Kept in the session of whoever borrows them."""

    staff_id: str
    organization_id: str
    slug: str
    membership_id: str
    email: str
    role: str
    reason: str
    until: str

    def is_over(self, now: datetime) -> bool:
        """Return whether its time has passed."""
        return datetime.fromisoformat(self.until) <= now

    @property
    def ends_at(self) -> datetime:
        """Return when it ends by itself."""
        return datetime.fromisoformat(self.until)

    def as_json(self) -> dict[str, Any]:
        """Return what a session keeps."""
        return asdict(self)


def start_impersonation(
    *,
    organization_id: uuid.UUID,
    membership_id: uuid.UUID,
    current: Impersonation | None,
    reason: str,
    actor: Actor,
    now: datetime,
) -> Impersonation:
    """Begin to see an organization as one of its members does; it is in the organization's audit log.

    Opens its own scope. Raises NotFound (no such member), and StillLooking while `current` is not over: never two.
    """
    if current is not None and not current.is_over(now):
        raise StillLooking
    with organization_scope(organization_id):
        membership = (
            Membership.objects.select_related("user", "organization")
            .filter(organization_id=organization_id, id=membership_id)
            .first()
        )
        if membership is None:
            raise NotFound
        until = now + LIFE
        _record("staff.impersonation_started", organization_id, membership_id, membership.user.email, until, reason,
                actor, now)  # fmt: skip
    return Impersonation(
        staff_id=str(actor.id),
        organization_id=str(organization_id),
        slug=membership.organization.slug,
        membership_id=str(membership_id),
        email=membership.user.email,
        role=membership.role,
        reason=reason,
        until=until.isoformat(),
    )


def end_impersonation(*, impersonation: Impersonation, actor: Actor, now: datetime) -> None:
    """Write down that somebody stopped looking: by themselves, or because the time was over. Opens its own scope."""
    organization_id, membership_id = uuid.UUID(impersonation.organization_id), uuid.UUID(impersonation.membership_id)
    ended_at = min(now, impersonation.ends_at)
    with organization_scope(organization_id):
        _record("staff.impersonation_ended", organization_id, membership_id, impersonation.email, ended_at,
                impersonation.reason, actor, now)  # fmt: skip


def _record(
    action: str,
    organization_id: uuid.UUID,
    membership_id: uuid.UUID,
    email: str,
    until: datetime,
    reason: str,
    actor: Actor,
    now: datetime,
) -> None:
    audit.record(
        organization_id=organization_id,
        actor=actor,
        action=action,
        target_kind="membership",
        target_id=membership_id,
        after={"member": email, "until": until},
        reason=reason,
        now=now,
    )
