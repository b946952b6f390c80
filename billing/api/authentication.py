"""Authentication of calls by a sub-token's secret."""

from __future__ import annotations

from django.utils import timezone
from drf_spectacular.extensions import OpenApiAuthenticationExtension
from rest_framework.authentication import BaseAuthentication
from rest_framework.request import Request

from billing.queries.credentials import Credential, credential_for_secret
from billing.services.last_used import note_use
from tenants.api.credentials import presented
from tenants.api.problems import Problem
from tenants.client_ip import client_ip
from tenants.secrets import SecretKind


class SubTokenAuthentication(BaseAuthentication):
    """Sets `request.auth` to the `Credential` that the presented sub-token opens.

    Raises `invalid_token`, `revoked_token`, `expired_token`, `suspended_token` or `ip_not_allowed`. A secret of
    another kind is left to the next authentication.
    """

    def authenticate(self, request: Request) -> tuple[None, Credential] | None:
        """Return `(None, credential)`, or None when no sub-token was presented."""
        secret = presented(request, SecretKind.SUB_TOKEN)
        if secret is None:
            return None
        credential = credential_for_secret(secret)
        if credential is None:
            raise Problem("invalid_token", "No sub-token has this secret.")
        now = timezone.now()
        credential.require_live(now)
        ip = client_ip(request._request)
        credential.require_address(ip)
        note_use(credential.sub_token_id, ip, now)
        return None, credential

    def authenticate_header(self, request: Request) -> str:
        """Return the challenge of a 401."""
        return 'Bearer realm="tokensight"'


class SubTokenScheme(OpenApiAuthenticationExtension):
    """Describes sub-tokens in the OpenAPI document."""

    target_class = SubTokenAuthentication
    name = "subToken"

    def get_security_definition(self, auto_schema: object) -> dict:
        """Return the security scheme."""
        return {
            "type": "http",
            "scheme": "bearer",
            "bearerFormat": "tsk_...",
            "description": "A sub-token's secret, also taken as `X-Auth-Token`.",
        }
