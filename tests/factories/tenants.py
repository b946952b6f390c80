"""People, organizations and what belongs to them, for tests. Each function writes rows and returns them."""

from __future__ import annotations

from itertools import count
from typing import Any

from allauth.account.models import EmailAddress

from tenants.models import Membership, Organization, Role, Team, User
from tenants.scope import organization_scope

PASSWORD = "correct-horse-battery-9"
_numbers = count(1)


def make_user(email: str | None = None, *, name: str = "", verified: bool = True, **fields: Any) -> User:
    """Create a person who signs in with `PASSWORD`, their mail address verified unless told otherwise."""
    email = email or f"person-{next(_numbers)}@people.example"
    user = User.objects.create_user(email, PASSWORD, name=name or email.split("@")[0].title(), **fields)
    EmailAddress.objects.create(user=user, email=user.email, verified=verified, primary=True)
    return user


def make_organization(name: str | None = None, *, owner: User | None = None, slug: str | None = None) -> Organization:
    """Create an organization, with `owner` (a new person unless given) as its owner. It has no wallet yet."""
    name = name or f"Organization {next(_numbers)}"
    organization = Organization(name=name, slug=slug or name.lower().replace(" ", "-"))
    with organization_scope(organization.id):
        organization.save(force_insert=True)
    make_membership(organization, owner or make_user(), Role.OWNER)
    return organization


def make_membership(organization: Organization, user: User | None = None, role: str = Role.DEVELOPER) -> Membership:
    """Give a person (a new one unless given) a role in an organization."""
    with organization_scope(organization.id):
        return Membership.objects.create(organization=organization, user=user or make_user(), role=role)


def make_team(organization: Organization, name: str | None = None, *, parent: Team | None = None) -> Team:
    """Create a team, inside `parent` if given."""
    with organization_scope(organization.id):
        return Team.objects.create(organization=organization, name=name or f"Team {next(_numbers)}", parent=parent)
