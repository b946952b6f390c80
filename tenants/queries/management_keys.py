"""Management keys, found by their secret or listed for their organization."""

from __future__ import annotations

from datetime import datetime

from django.db.models import Q, QuerySet

from tenants.models import ManagementKey, RetiredKeySecret

# One statement, hence one state: a rotation that commits meanwhile cannot hide a secret from both functions.
FIND = """
SELECT found.*, old.ends_at AS secret_ends_at,
    tenants_organization_closing(found.org_id) AS closing_since
FROM tenants_management_key_by_hash(%(hash)s) AS found
LEFT JOIN tenants_retired_key_secret_by_hash(%(hash)s) AS old ON true
"""


def management_key_by_hash(secret_hash: str) -> ManagementKey | None:
    """Return the key whose secret has, or had, this SHA-256 (hex), of whichever organization, dead ones too.

    Its `secret_ends_at` is the end of a secret that was replaced, None for the newest. Needs no scope: a request's
    organization is not known before its credential is.
    """
    return next(iter(ManagementKey.objects.raw(FIND, {"hash": secret_hash})), None)


def management_keys(*, text: str = "", status: str = "", now: datetime) -> QuerySet[ManagementKey]:
    """Return the keys of the organization in scope with their makers: those of a status, or with a text in them."""
    found = ManagementKey.objects.select_related("created_by")
    if text:
        found = found.filter(Q(name__icontains=text) | Q(prefix__startswith=text))
    ended = Q(expires_at__lte=now)
    match status:
        case "revoked":
            found = found.exclude(revoked_at=None)
        case "expired":
            found = found.filter(ended, revoked_at=None)
        case "active":
            found = found.filter(~ended | Q(expires_at=None), revoked_at=None)
    return found


def old_secrets_of(key: ManagementKey, now: datetime) -> list[RetiredKeySecret]:
    """Return the former secrets of a key that still work, the one that ends first first."""
    return list(RetiredKeySecret.objects.filter(key=key, ends_at__gt=now).order_by("ends_at", "id"))
