"""Opening and renaming organizations."""

from __future__ import annotations

import secrets
from datetime import datetime

from django.db import IntegrityError, transaction
from django.utils.text import slugify

from tenants.actors import Actor
from tenants.identifiers import new_id
from tenants.models import Membership, Organization, Role, User, WhenUncounted
from tenants.scope import organization_scope
from tenants.services import audit

SLUG_LENGTH = 48
ATTEMPTS = 8


def create_organization(*, name: str, owner: User, actor: Actor, now: datetime) -> Organization:
    """Create an organization owned by `owner`, in one transaction.

    Its slug comes from the name. A slug that is taken (also by somebody in this moment) gets a random ending, so it
    tells nothing about how many others chose the same name.
    """
    stem = slugify(name)[:SLUG_LENGTH].strip("-") or "organization"
    organization = Organization(id=new_id(), name=name, created_at=now)
    with organization_scope(organization.id):
        for attempt in range(ATTEMPTS):
            organization.slug = stem if attempt == 0 else f"{stem}-{secrets.token_hex(3)}"
            try:
                with transaction.atomic():
                    organization.save(force_insert=True)
                break
            except IntegrityError:
                if attempt == ATTEMPTS - 1:
                    raise
        Membership.objects.create(organization=organization, user=owner, role=Role.OWNER, created_at=now)
        audit.record(
            organization_id=organization.id,
            actor=actor,
            action="organization.created",
            target_kind="organization",
            target_id=organization.id,
            after={"name": name, "slug": organization.slug, "owner": owner.email},
            now=now,
        )
    return organization


def rename_organization(*, organization: Organization, name: str, actor: Actor, now: datetime) -> None:
    """Give an organization another name. Its slug stays, as addresses are built on it. Needs its scope."""
    before = organization.name
    if name == before:
        return
    organization.name = name
    organization.save(update_fields=["name"])
    audit.record(
        organization_id=organization.id,
        actor=actor,
        action="organization.renamed",
        target_kind="organization",
        target_id=organization.id,
        before={"name": before},
        after={"name": name},
        now=now,
    )


def change_when_uncounted(*, organization: Organization, policy: WhenUncounted, actor: Actor, now: datetime) -> None:
    """Say what becomes of an organization's calls while their requests cannot be counted. Needs its scope."""
    before = organization.when_uncounted
    if policy == before:
        return
    organization.when_uncounted = policy
    organization.save(update_fields=["when_uncounted"])
    audit.record(
        organization_id=organization.id,
        actor=actor,
        action="organization.when_uncounted_changed",
        target_kind="organization",
        target_id=organization.id,
        before={"when_uncounted": before},
        after={"when_uncounted": policy.value},
        now=now,
    )
