"""Management keys, found by their secret or listed for their organization."""

from __future__ import annotations

from tenants.models import ManagementKey


def management_key_by_hash(secret_hash: str) -> ManagementKey | None:
    """Return the key whose secret has this SHA-256 (hex), of whichever organization, revoked and expired ones too.

    Needs no scope: a request's organization is not known before its credential is.
    """
    return next(
        iter(ManagementKey.objects.raw("SELECT * FROM tenants_management_key_by_hash(%s)", [secret_hash])), None
    )


def management_keys() -> list[ManagementKey]:
    """Return the keys of the organization in scope with their makers, newest first."""
    return list(ManagementKey.objects.select_related("created_by").order_by("-created_at", "-id"))
