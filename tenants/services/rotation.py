"""New secrets for old: what sub-tokens and management keys have in common.

The old secret works on through a grace, so that devices can be changed over one by one. Rotating again during a grace
leaves every older secret its own end, or the end of the newest grace if that is earlier: a rotation never lengthens an
older secret's life, and one without grace ends all of them at once.
"""

from __future__ import annotations

import uuid
from datetime import datetime, timedelta
from typing import Any, Protocol

from tenants.errors import GraceOutOfRange
from tenants.secrets import SecretKind, hash_secret, new_secret, shown_prefix

DEFAULT_GRACE = timedelta(hours=24)
LONGEST_GRACE = timedelta(days=7)


class Owner(Protocol):
    """A sub-token or a management key."""

    organization_id: uuid.UUID
    prefix: str
    secret_hash: str
    retired_secrets: Any

    def save(self, *, update_fields: list[str]) -> None: ...


def replace_secret(owner: Owner, kind: SecretKind, *, grace: timedelta, now: datetime) -> str:
    """Give an owner, whose row the caller has locked, a new secret and return it; the old one ends after `grace`.

    Raises GraceOutOfRange.
    """
    if not timedelta() <= grace <= LONGEST_GRACE:
        raise GraceOutOfRange
    ends_at = now + grace
    owner.retired_secrets.filter(ends_at__gt=ends_at).update(ends_at=ends_at)
    owner.retired_secrets.create(
        organization_id=owner.organization_id,
        created_at=now,
        prefix=owner.prefix,
        secret_hash=owner.secret_hash,
        ends_at=ends_at,
    )
    secret = new_secret(kind)
    owner.prefix, owner.secret_hash = shown_prefix(secret), hash_secret(secret)
    owner.save(update_fields=["prefix", "secret_hash"])
    return secret


def end_grace_of(owner: Owner, *, now: datetime) -> list[str]:
    """End every former secret that still works, and return how they begin."""
    living = owner.retired_secrets.filter(ends_at__gt=now)
    prefixes = list(living.order_by("id").values_list("prefix", flat=True))
    living.update(ends_at=now)
    return prefixes
