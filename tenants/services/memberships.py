"""Who belongs to an organization, and as what. Every function needs the organization's scope."""

from __future__ import annotations

import uuid
from datetime import datetime

from django.db import IntegrityError, transaction
from django.db.models import Q

from tenants.actors import Actor, ActorKind
from tenants.errors import AlreadyMember, LastOwner, NotFound, OwnerNeedsPassword, OwnersOnly
from tenants.models import Membership, Role, User
from tenants.services import audit


def add_member(*, organization_id: uuid.UUID, user: User, role: str, actor: Actor, now: datetime) -> Membership:
    """Give a person a role in the organization.

    Raises `AlreadyMember`, and `OwnersOnly` when somebody else than an owner adds an owner.
    """
    if role == Role.OWNER:
        require_own_way_in(user)
        _require_owner(actor, _lock_owners_and(None))
    return join(organization_id=organization_id, user=user, role=role, actor=actor, now=now)


def join(*, organization_id: uuid.UUID, user: User, role: str, actor: Actor, now: datetime) -> Membership:
    """Write a person's membership; whoever calls has made sure that they may have it. Raises `AlreadyMember`."""
    try:
        with transaction.atomic():
            membership = Membership.objects.create(
                organization_id=organization_id, user=user, role=role, created_at=now
            )
    except IntegrityError as error:
        raise AlreadyMember from error
    audit.record(
        organization_id=organization_id,
        actor=actor,
        action="member.added",
        target_kind="membership",
        target_id=membership.id,
        after={"member": user.email, "role": role},
        now=now,
    )
    return membership


def change_role(*, membership_id: uuid.UUID, role: str, actor: Actor, now: datetime) -> Membership:
    """Give a member another role.

    Locks the owners and the member in primary-key order. Raises `NotFound`, `LastOwner`, and `OwnersOnly` when
    somebody else than an owner gives or takes the owner role. Raises `OwnerNeedsPassword` as `require_own_way_in`.
    """
    with transaction.atomic():
        locked = _lock_owners_and(membership_id)
        membership = _target(locked, membership_id)
        before = membership.role
        if role == before:
            return membership
        if Role.OWNER in (role, before):
            _require_owner(actor, locked)
        if role == Role.OWNER:
            require_own_way_in(membership.user)
        if before == Role.OWNER:
            _require_another_owner(membership, locked)
        membership.role = role
        membership.save(update_fields=["role"])
        audit.record(
            organization_id=membership.organization_id,
            actor=actor,
            action="member.role_changed",
            target_kind="membership",
            target_id=membership.id,
            before={"member": membership.user.email, "role": before},
            after={"member": membership.user.email, "role": role},
            now=now,
        )
    return membership


def remove_member(*, membership_id: uuid.UUID, actor: Actor, now: datetime, action: str = "member.removed") -> None:
    """Take a person out of the organization; `action` is what the audit log calls it (`member.left`).

    Locks and raises as `change_role`.
    """
    with transaction.atomic():
        locked = _lock_owners_and(membership_id)
        membership = _target(locked, membership_id)
        if membership.role == Role.OWNER:
            _require_owner(actor, locked)
            _require_another_owner(membership, locked)
        membership.delete()
        audit.record(
            organization_id=membership.organization_id,
            actor=actor,
            action=action,
            target_kind="membership",
            target_id=membership_id,
            before={"member": membership.user.email, "role": membership.role},
            now=now,
        )


def require_own_way_in(user: User) -> None:
    """Raise `OwnerNeedsPassword` for an account that only an organization's provider opens.

    As the only owner it could neither hand the organization over nor delete it, for such sessions may do nothing that
    only owners may; and a provider that is broken would lock everybody out.
    """
    if not user.has_usable_password():
        raise OwnerNeedsPassword


def _lock_owners_and(membership_id: uuid.UUID | None) -> list[Membership]:
    """Lock every owner's membership, and this one: owners who take each other's role must do it one by one."""
    return list(
        Membership.objects.filter(Q(role=Role.OWNER) | Q(id=membership_id))
        .select_related("user")
        .select_for_update(of=("self",))
        .order_by("id")
    )


def _target(locked: list[Membership], membership_id: uuid.UUID) -> Membership:
    for membership in locked:
        if membership.id == membership_id:
            return membership
    raise NotFound


def _require_owner(actor: Actor, locked: list[Membership]) -> None:
    if actor.kind is ActorKind.PLATFORM:
        return
    owners = {membership.user_id for membership in locked if membership.role == Role.OWNER}
    if actor.kind is not ActorKind.USER or actor.id not in owners:
        raise OwnersOnly


def _require_another_owner(membership: Membership, locked: list[Membership]) -> None:
    if not any(other.role == Role.OWNER and other.id != membership.id for other in locked):
        raise LastOwner
