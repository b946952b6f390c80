"""Authentication of administration by a management key's secret."""

from __future__ import annotations

import uuid
from dataclasses import dataclass

from django.utils import timezone
from drf_spectacular.extensions import OpenApiAuthenticationExtension
from rest_framework.authentication import BaseAuthentication
from rest_framework.request import Request

from tenants.actors import Actor, management_key_actor
from tenants.api.credentials import presented, refuse_address, refuse_closing, refuse_dead, refuse_replaced
from tenants.api.problems import Problem
from tenants.client_ip import client_ip
from tenants.permissions import Permission
from tenants.queries.management_keys import management_key_by_hash
from tenants.secrets import SecretKind, hash_secret
from tenants.services.management_keys import note_use


@dataclass(frozen=True, slots=True)
class ManagementCredential:
    """A management key at work: whose organization it administers, and what it may do there."""

    organization_id: uuid.UUID
    key_id: uuid.UUID
    name: str
    scopes: frozenset[str]
    actor: Actor

    def require(self, permission: Permission) -> None:
        """Raise `insufficient_scope` when the key was not given this permission."""
        if permission not in self.scopes:
            raise Problem("insufficient_scope", f"This management key lacks the scope {permission}.", scope=permission)


class ManagementKeyAuthentication(BaseAuthentication):
    """Sets `request.auth` to the `ManagementCredential` that the presented management key opens.

    Raises `invalid_token`, `revoked_token`, `expired_token` or `ip_not_allowed`. A secret of another kind is left to
    the next authentication. Every call asks the database, so a revoked key is dead at once.
    """

    def authenticate(self, request: Request) -> tuple[None, ManagementCredential] | None:
        """Return `(None, credential)`, or None when no management key was presented."""
        secret = presented(request, SecretKind.MANAGEMENT_KEY)
        if secret is None:
            return None
        key = management_key_by_hash(hash_secret(secret))
        if key is None:
            raise Problem("invalid_token", "No management key has this secret.")
        now, ip = timezone.now(), client_ip(request._request)
        refuse_dead(key.revoked_at, key.expires_at, now, "management key")
        refuse_replaced(key.secret_ends_at, now)
        refuse_closing(key.closing_since)
        refuse_address(ip, tuple(key.ip_allow_list), "management key")
        note_use(key=key, ip=ip, now=now)
        actor = management_key_actor(key.id, key.name, ip)
        return None, ManagementCredential(key.organization_id, key.id, key.name, frozenset(key.scopes), actor)

    def authenticate_header(self, request: Request) -> str:
        """Return the challenge of a 401."""
        return 'Bearer realm="tokensight"'


class ManagementKeyScheme(OpenApiAuthenticationExtension):
    """Describes management keys in the OpenAPI document."""

    target_class = ManagementKeyAuthentication
    name = "managementKey"

    def get_security_definition(self, auto_schema: object) -> dict:
        """Return the security scheme."""
        return {
            "type": "http",
            "scheme": "bearer",
            "bearerFormat": "tsm_...",
            "description": "A management key's secret, also taken as `X-Auth-Token`.",
        }
