"""Who belongs where."""

from __future__ import annotations

import uuid

from django.db.models import Q

from tenants.models import Membership, Role
from tenants.scope import user_scope


def memberships_of(user_id: uuid.UUID) -> list[Membership]:
    """Return a person's memberships with their organizations, by the organizations' names."""
    with user_scope(user_id):
        return list(
            Membership.objects.filter(user_id=user_id)
            .select_related("organization")
            .order_by("organization__name", "organization_id")
        )


def members(q: str = "", role: str = "") -> list[Membership]:
    """Return the members of the organization in scope with the persons, owners first, then by mail address.

    `q` keeps those whose name or mail address contains it, `role` those who have this role.
    """
    found = Membership.objects.select_related("user").order_by("user__email")
    if q:
        found = found.filter(Q(user__email__icontains=q) | Q(user__name__icontains=q))
    if role:
        found = found.filter(role=role)
    order = {role: place for place, role in enumerate(Role)}
    return sorted(found, key=lambda membership: order[Role(membership.role)])


def is_last_owner(membership: Membership) -> bool:
    """Return whether the organization in scope would have no owner without this member."""
    others = Membership.objects.filter(role=Role.OWNER).exclude(id=membership.id)
    return membership.role == Role.OWNER and not others.exists()
