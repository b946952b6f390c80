"""How a request presents its credential, and what it is told when that is missing or wrong."""

from __future__ import annotations

from datetime import datetime

from rest_framework.request import Request

from tenants.api.problems import Problem
from tenants.client_ip import ip_allowed
from tenants.secrets import SecretKind, kind_of

HOW = "Send it as 'Authorization: Bearer <secret>' or 'X-Auth-Token: <secret>'."


def presented_secret(request: Request) -> str | None:
    """Return the secret that the request presents, or None; `invalid_token` when the header is not of that form."""
    authorization = request.headers.get("Authorization")
    if authorization is None:
        return request.headers.get("X-Auth-Token", "").strip() or None
    scheme, _, secret = authorization.strip().partition(" ")
    if scheme.lower() != "bearer" or not secret.strip():
        raise Problem("invalid_token", f"The Authorization header is not a bearer token. {HOW}")
    return secret.strip()


def presented(request: Request, kind: SecretKind) -> str | None:
    """Return the secret presented, when it is a well-formed one of this kind, else None. Asks no database."""
    secret = presented_secret(request)
    return secret if secret and kind_of(secret) is kind else None


def unaccepted_credential(request: Request) -> Problem:
    """Return the problem for a request that no authentication of its view accepted."""
    secret = presented_secret(request)
    if secret is None:
        return Problem("missing_token", f"This needs a credential. {HOW}")
    match kind_of(secret):
        case SecretKind.SUB_TOKEN:
            return Problem("insufficient_scope", "This needs a management key; a sub-token was sent.")
        case SecretKind.MANAGEMENT_KEY:
            return Problem("insufficient_scope", "This needs a sub-token; a management key was sent.")
    return Problem("invalid_token", "This is not one of our secrets: it is incomplete or mistyped.")


def refuse_dead(revoked_at: datetime | None, expires_at: datetime | None, now: datetime, what: str) -> None:
    """Raise `revoked_token` or `expired_token` for a credential that may no longer be used at `now`."""
    if revoked_at is not None and revoked_at <= now:
        raise Problem("revoked_token", f"This {what} was revoked.")
    if expires_at is not None and expires_at <= now:
        raise Problem("expired_token", f"This {what} expired at {expires_at:%Y-%m-%dT%H:%M:%SZ}.")


def refuse_closing(closing_since: datetime | None) -> None:
    """Raise `organization_closing` for a credential of an organization that is being deleted."""
    if closing_since is not None:
        raise Problem("organization_closing", "This organization is being deleted. One of its owners can undo that.")


def refuse_replaced(secret_ends_at: datetime | None, now: datetime) -> None:
    """Raise `revoked_token` for a secret that was rotated out and whose grace is over at `now`; None is no such one."""
    if secret_ends_at is not None and secret_ends_at <= now:
        raise Problem(
            "revoked_token",
            f"This secret was replaced by a new one, and stopped working at {secret_ends_at:%Y-%m-%dT%H:%M:%SZ}.",
        )


def refuse_frozen(frozen_at: datetime | None) -> None:
    """Raise `organization_frozen` for an organization that staff have frozen."""
    if frozen_at is not None:
        raise Problem(
            "organization_frozen",
            f"This organization is frozen since {frozen_at:%Y-%m-%dT%H:%M:%SZ}; its audit log says why.",
        )


def refuse_address(ip: str | None, networks: tuple[str, ...], what: str) -> None:
    """Raise `ip_not_allowed` for a credential that may not be used from this address."""
    if not ip_allowed(ip, networks):
        raise Problem("ip_not_allowed", f"This {what} may not be used from {ip or 'an unknown address'}.")
