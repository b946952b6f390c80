"""A person who deletes their own account."""

from __future__ import annotations

from datetime import datetime

from allauth.usersessions.models import UserSession
from django.db import transaction

from tenants.actors import user_actor
from tenants.models import Organization, User
from tenants.queries.memberships import is_last_owner, memberships_of
from tenants.scope import organization_scope, platform_scope
from tenants.services.memberships import remove_member


def owned_alone(user: User) -> list[Organization]:
    """Return the organizations that would have no owner without this person. Opens their scopes."""
    found = []
    for membership in memberships_of(user.id):
        with organization_scope(membership.organization_id):
            if is_last_owner(membership):
                found.append(membership.organization)
    return found


def delete_person(*, user: User, ip: str | None, now: datetime) -> None:
    """Take a person out of all organizations, and delete what is known of them: all or nothing.

    What they did stays in the organizations' audit logs, under the name that they had. Locks the owners of each
    organization, one organization after the other in the order of their ids. Raises `LastOwner`.
    """
    actor = user_actor(user.id, user.email, ip)
    with transaction.atomic():
        for membership in sorted(memberships_of(user.id), key=lambda membership: membership.organization_id):
            with organization_scope(membership.organization_id):
                remove_member(membership_id=membership.id, actor=actor, now=now, action="member.deleted_account")
        for session in UserSession.objects.filter(user=user):
            session.end()
        # What they made in any organization stays, and names nobody any more.
        with platform_scope("a person deletes their account"):
            user.delete()
