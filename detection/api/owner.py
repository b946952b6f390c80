"""Whose calls a request may see: a sub-token its own, a management key its organization's."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from typing import cast

from rest_framework.request import Request

from billing.queries.credentials import Credential
from tenants.actors import Actor
from tenants.api.authentication import ManagementCredential
from tenants.permissions import Permission


@dataclass(frozen=True, slots=True)
class Owner:
    """The organization, and the one sub-token that the request is confined to, or else the key that asks."""

    organization_id: uuid.UUID
    credential: Credential | None
    actor: Actor | None = None

    @property
    def sub_token_id(self) -> uuid.UUID | None:
        return self.credential.sub_token_id if self.credential else None


def sub_token_of(request: Request) -> Credential:
    """Return the credential of a request whose view takes nothing but sub-tokens."""
    return cast("Credential", request.auth)


def owner_of(request: Request, permission: Permission) -> Owner:
    """Return whose calls the request may see. Raises `insufficient_scope` for a key without the permission."""
    auth = cast("Credential | ManagementCredential", request.auth)
    if isinstance(auth, Credential):
        return Owner(auth.organization_id, auth)
    auth.require(permission)
    return Owner(auth.organization_id, None, auth.actor)
