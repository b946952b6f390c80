"""What an organization asks of its members' sign-in."""

from __future__ import annotations

import uuid
from datetime import datetime

from django.db import transaction

from tenants.actors import Actor, ActorKind
from tenants.errors import SecondFactorFirst
from tenants.models import Membership, Organization, Role
from tenants.queries.second_factor import has_second_factor, with_second_factor
from tenants.services import audit


def require_second_factor(*, organization_id: uuid.UUID, required: bool, actor: Actor, now: datetime) -> None:
    """Let members see the organization with a second factor only, or without one again. API keys are not asked.

    Whoever turns it on has one themselves; a key can turn it on where an owner has one: nobody locks everybody out.
    Locks the organization's row. Needs its scope. Raises `SecondFactorFirst`.
    """
    with transaction.atomic():
        organization = Organization.objects.select_for_update(no_key=True).get(id=organization_id)
        if organization.requires_second_factor == required:
            return
        if required and not _somebody_stays_in(actor):
            raise SecondFactorFirst
        organization.requires_second_factor = required
        organization.save(update_fields=["requires_second_factor"])
        audit.record(
            organization_id=organization_id,
            actor=actor,
            action="second_factor.required" if required else "second_factor.optional",
            target_kind="organization",
            target_id=organization_id,
            before={"second_factor_required": not required},
            after={"second_factor_required": required},
            now=now,
        )


def _somebody_stays_in(actor: Actor) -> bool:
    if actor.kind is ActorKind.USER and actor.id is not None:
        return has_second_factor(actor.id)
    owners = Membership.objects.filter(role=Role.OWNER).values_list("user_id", flat=True)
    return bool(with_second_factor(owners))
