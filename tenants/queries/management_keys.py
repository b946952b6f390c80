"""Management keys, found by their secret or listed for their organization."""

from __future__ import annotations

from tenants.models import ManagementKey

# One statement, hence one state: a rotation that commits meanwhile cannot hide a secret from both functions.
FIND = """
SELECT found.*, old.ends_at AS secret_ends_at
FROM tenants_management_key_by_hash(%(hash)s) AS found
LEFT JOIN tenants_retired_key_secret_by_hash(%(hash)s) AS old ON true
"""


def management_key_by_hash(secret_hash: str) -> ManagementKey | None:
    """Return the key whose secret has, or had, this SHA-256 (hex), of whichever organization, dead ones too.

    Its `secret_ends_at` is the end of a secret that was replaced, None for the newest. Needs no scope: a request's
    organization is not known before its credential is.
    """
    return next(iter(ManagementKey.objects.raw(FIND, {"hash": secret_hash})), None)


def management_keys() -> list[ManagementKey]:
    """Return the keys of the organization in scope with their makers, newest first."""
    return list(ManagementKey.objects.select_related("created_by").order_by("-created_at", "-id"))
