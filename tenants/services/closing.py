"""Deleting an organization: asked for by an owner, undone within the grace, and final after it.

What comes after the grace goes through all rooms and is in portal/services/erasure.py.
"""

from __future__ import annotations

import uuid
from datetime import datetime, timedelta

from django.conf import settings
from django.db import transaction
from django.urls import reverse

from tenants.actors import Actor, ActorKind
from tenants.errors import NotClosing, OrganizationClosing, OwnersOnly
from tenants.models import Membership, Organization, Role
from tenants.queries.people import admins_of
from tenants.services import audit
from tenants.services.outbox import queue_mail_to

GRACE = timedelta(days=14)


def request_deletion(*, organization_id: uuid.UUID, actor: Actor, now: datetime) -> Organization:
    """Close an organization: from now on every call is refused, and in 14 days it is deleted for good.

    Locks its row and tells its owners and admins by mail. Needs its scope. Raises `OwnersOnly`, `OrganizationClosing`.
    """
    with transaction.atomic():
        organization = _lock_as_owner(organization_id, actor)
        if organization.deletion_requested_at is not None:
            raise OrganizationClosing
        organization.deletion_requested_at = now
        organization.deletion_due_at = now + GRACE
        organization.save(update_fields=["deletion_requested_at", "deletion_due_at"])
        _record(organization, "organization.deletion_requested", actor, now, {"due_at": organization.deletion_due_at})
        queue_mail_to(
            admins_of(organization_id),
            organization_id=organization_id,
            kind="organization_closing",
            context={
                "organization": organization.name,
                "owner": actor.name,
                "due_at": organization.deletion_due_at,
                "days": GRACE.days,
                "button_url": f"{settings.BASE_URL}{reverse('closing', args=[organization.slug])}",
            },
            dedupe_key=f"closing:{now.isoformat()}",
            now=now,
        )
    return organization


def undo_deletion(*, organization_id: uuid.UUID, actor: Actor, now: datetime) -> Organization:
    """Open an organization again, within the grace. Locks its row. Raises `OwnersOnly` and `NotClosing`."""
    with transaction.atomic():
        organization = _lock_as_owner(organization_id, actor)
        due_at = organization.deletion_due_at
        if due_at is None or due_at <= now:
            raise NotClosing
        organization.deletion_requested_at = organization.deletion_due_at = None
        organization.save(update_fields=["deletion_requested_at", "deletion_due_at"])
        _record(organization, "organization.deletion_undone", actor, now, {"due_at": due_at})
    return organization


def _lock_as_owner(organization_id: uuid.UUID, actor: Actor) -> Organization:
    organization = Organization.objects.select_for_update(no_key=True).get(id=organization_id)
    owners = set(Membership.objects.filter(role=Role.OWNER).values_list("user_id", flat=True))
    if actor.kind is not ActorKind.USER or actor.id not in owners:
        raise OwnersOnly
    return organization


def _record(organization: Organization, action: str, actor: Actor, now: datetime, facts: dict[str, object]) -> None:
    audit.record(
        organization_id=organization.id,
        actor=actor,
        action=action,
        target_kind="organization",
        target_id=organization.id,
        after={"name": organization.name, **facts},
        now=now,
    )
