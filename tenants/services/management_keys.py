"""Management keys: making and revoking them. Every function needs the organization's scope."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Set
from datetime import datetime, timedelta

from tenants.actors import Actor, ActorKind
from tenants.errors import NotFound, ScopeNotYours
from tenants.models import ManagementKey
from tenants.permissions import MANAGEMENT_KEY_SCOPES, Permission
from tenants.scope import organization_scope
from tenants.secrets import SecretKind, hash_secret, new_secret, shown_prefix
from tenants.services import audit

NOTE_EVERY = timedelta(minutes=1)


def create_management_key(
    *,
    organization_id: uuid.UUID,
    name: str,
    scopes: Iterable[Permission],
    allowed: Set[Permission],
    expires_at: datetime | None = None,
    actor: Actor,
    now: datetime,
) -> tuple[ManagementKey, str]:
    """Create a key and return it with its secret, which nobody can read again.

    `allowed` is what the maker may do: a scope outside it, or one that no key can have, raises `ScopeNotYours`.
    """
    wanted = sorted(set(scopes))
    if not set(wanted) <= (allowed & set(MANAGEMENT_KEY_SCOPES)):
        raise ScopeNotYours
    secret = new_secret(SecretKind.MANAGEMENT_KEY)
    key = ManagementKey.objects.create(
        organization_id=organization_id,
        name=name,
        prefix=shown_prefix(secret),
        secret_hash=hash_secret(secret),
        scopes=[scope.value for scope in wanted],
        created_by_id=actor.id if actor.kind is ActorKind.USER else None,
        created_at=now,
        expires_at=expires_at,
    )
    audit.record(
        organization_id=organization_id,
        actor=actor,
        action="management_key.created",
        target_kind="management_key",
        target_id=key.id,
        after={"name": name, "prefix": key.prefix, "scopes": key.scopes, "expires_at": expires_at},
        now=now,
    )
    return key, secret


def revoke_management_key(*, key_id: uuid.UUID, actor: Actor, now: datetime) -> ManagementKey:
    """Revoke a key for good; a key that is revoked already is left as it is. Locks the key. Raises `NotFound`."""
    key = ManagementKey.objects.select_for_update().filter(id=key_id).first()
    if key is None:
        raise NotFound
    if key.revoked_at is not None:
        return key
    key.revoked_at = now
    key.save(update_fields=["revoked_at"])
    audit.record(
        organization_id=key.organization_id,
        actor=actor,
        action="management_key.revoked",
        target_kind="management_key",
        target_id=key.id,
        before={"name": key.name, "prefix": key.prefix},
        now=now,
    )
    return key


def note_use(*, key: ManagementKey, ip: str | None, now: datetime) -> None:
    """Write that a key was used and from where, at most once a minute.

    Opens its own scope; a busy row is left for the next use.
    """
    if key.last_used_at is not None and now - key.last_used_at < NOTE_EVERY:
        return
    with organization_scope(key.organization_id):
        unlocked = ManagementKey.objects.select_for_update(skip_locked=True).filter(id=key.id)
        ManagementKey.objects.filter(id__in=unlocked.values("id")).update(last_used_at=now, last_used_ip=ip)
