"""Invitations, found by their link or listed for their organization."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from django.db.models import QuerySet

from tenants.models import Invitation, Organization
from tenants.scope import organization_scope


@dataclass(frozen=True)
class FoundInvitation:
    """An invitation and the organization that it leads to."""

    invitation: Invitation
    organization: Organization


def hash_link(secret: str) -> str:
    """Return the SHA-256 (hex) that is stored instead of a link's secret, which is too long to be guessed."""
    return hashlib.sha256(secret.encode()).hexdigest()


def invitation_by_secret(secret: str) -> FoundInvitation | None:
    """Return the invitation whose link bears this secret, accepted, revoked and expired ones too, or None.

    Needs no scope: who is invited belongs to no organization yet.
    """
    rows = Invitation.objects.raw("SELECT * FROM tenants_invitation_by_hash(%s)", [hash_link(secret)])
    invitation = next(iter(rows), None)
    if invitation is None:
        return None
    with organization_scope(invitation.organization_id):
        organization = Organization.objects.get(id=invitation.organization_id)
    return FoundInvitation(invitation, organization)


def invitations() -> QuerySet[Invitation]:
    """Return the invitations of the organization in scope that are neither accepted nor revoked, newest first."""
    return Invitation.objects.filter(accepted_at=None, revoked_at=None).order_by("-id")
