"""Opening an organization: its members, its wallet and its trial Tokens, all or none."""

from __future__ import annotations

from datetime import datetime

from django.db import transaction

from tenants.actors import Actor
from tenants.models import Organization, User
from tenants.services.organizations import create_organization


def open_organization(*, name: str, owner: User, actor: Actor, now: datetime) -> Organization:
    """Create an organization owned by `owner`."""
    with transaction.atomic():
        return create_organization(name=name, owner=owner, actor=actor, now=now)
