"""Whom to tell. Every function needs the organization's scope, or the platform's."""

from __future__ import annotations

import uuid
from collections.abc import Iterable

from tenants.models import Role, User
from tenants.permissions import ADMINS, ROLES_OF, Permission


def people_of(organization_id: uuid.UUID, roles: Iterable[str] = tuple(Role)) -> list[User]:
    """Return the active persons with one of these roles, by mail address."""
    return list(
        User.objects.filter(
            memberships__organization_id=organization_id, memberships__role__in=list(roles), is_active=True
        ).order_by("email")
    )


def admins_of(organization_id: uuid.UUID) -> list[User]:
    """Return the owners and admins, by mail address."""
    return people_of(organization_id, ADMINS)


def billing_people_of(organization_id: uuid.UUID) -> list[User]:
    """Return everybody who may buy and move Tokens, by mail address."""
    return people_of(organization_id, ROLES_OF[Permission.BILLING_MANAGE])
