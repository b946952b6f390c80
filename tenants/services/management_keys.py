"""Management keys: making, changing, rotating and revoking them. Every function needs the organization's scope."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping, Sequence, Set
from datetime import datetime, timedelta
from typing import Any

from tenants.actors import Actor, ActorKind
from tenants.errors import KeyRevoked, NotFound, ScopeNotYours
from tenants.models import ManagementKey
from tenants.permissions import MANAGEMENT_KEY_SCOPES, Permission
from tenants.scope import organization_scope
from tenants.secrets import SecretKind, hash_secret, new_secret, shown_prefix
from tenants.services import audit
from tenants.services.rotation import DEFAULT_GRACE, end_grace_of, replace_secret

NOTE_EVERY = timedelta(minutes=1)
CHANGEABLE = frozenset({"name", "scopes", "expires_at", "ip_allow_list"})


def create_management_key(
    *,
    organization_id: uuid.UUID,
    name: str,
    scopes: Iterable[Permission],
    allowed: Set[Permission],
    expires_at: datetime | None = None,
    ip_allow_list: Sequence[str] = (),
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
        ip_allow_list=list(ip_allow_list),
    )
    after = {
        "name": name,
        "prefix": key.prefix,
        "scopes": key.scopes,
        "expires_at": expires_at,
        "ip_allow_list": key.ip_allow_list,
    }
    _record(key, "created", after=after, actor=actor, now=now)
    return key, secret


def change_management_key(
    *, key_id: uuid.UUID, changes: Mapping[str, Any], allowed: Set[Permission], actor: Actor, now: datetime
) -> ManagementKey:
    """Give a key another name, scopes, expiry or IP allow-list (the keys of CHANGEABLE). Locks the key.

    A scope may be taken by anybody who changes the key, and added as in `create_management_key`. Raises NotFound,
    KeyRevoked and ScopeNotYours.
    """
    assert changes.keys() <= CHANGEABLE
    key = _lock_living(key_id)
    wanted = {name: sorted(value) if name == "scopes" else value for name, value in changes.items()}
    before = {name: getattr(key, name) for name, value in wanted.items() if getattr(key, name) != value}
    if not before:
        return key
    added = set(wanted.get("scopes", [])) - set(key.scopes)
    if not added <= (allowed & set(MANAGEMENT_KEY_SCOPES)):
        raise ScopeNotYours
    after = {name: wanted[name] for name in before}
    for name, value in after.items():
        setattr(key, name, value)
    key.save(update_fields=list(after))
    _record(key, "changed", before=before, after=after, actor=actor, now=now)
    return key


def rotate_management_key(
    *, key_id: uuid.UUID, grace: timedelta = DEFAULT_GRACE, actor: Actor, now: datetime
) -> tuple[ManagementKey, str]:
    """Give a key a new secret and return both; the present one works on through `grace`. Locks the key.

    Scopes and expiry stay. What a second rotation does to a grace is said in tenants/services/rotation.py. Raises
    NotFound, KeyRevoked and GraceOutOfRange.
    """
    key = _lock_living(key_id)
    before = {"prefix": key.prefix}
    secret = replace_secret(key, SecretKind.MANAGEMENT_KEY, grace=grace, now=now)
    after = {"prefix": key.prefix, "old_secret_ends_at": now + grace}
    _record(key, "rotated", before=before, after=after, actor=actor, now=now)
    return key, secret


def end_grace_of_key(*, key_id: uuid.UUID, actor: Actor, now: datetime, reason: str = "") -> ManagementKey:
    """End every former secret of a key that still works. Without any, nothing happens. Locks it. Raises NotFound."""
    key = _lock(key_id)
    prefixes = end_grace_of(key, now=now)
    if prefixes:
        _record(key, "grace_ended", before={"prefix": prefixes}, reason=reason, actor=actor, now=now)
    return key


def revoke_management_key(*, key_id: uuid.UUID, reason: str = "", actor: Actor, now: datetime) -> ManagementKey:
    """Revoke a key for good; a key that is revoked already is left as it is. Locks the key. Raises `NotFound`."""
    key = _lock(key_id)
    if key.revoked_at is not None:
        return key
    key.revoked_at = now
    key.save(update_fields=["revoked_at"])
    before = {"name": key.name, "prefix": key.prefix}
    _record(key, "revoked", before=before, reason=reason, actor=actor, now=now)
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


def _lock(key_id: uuid.UUID) -> ManagementKey:
    key = ManagementKey.objects.select_for_update().filter(id=key_id).first()
    if key is None:
        raise NotFound
    return key


def _lock_living(key_id: uuid.UUID) -> ManagementKey:
    key = _lock(key_id)
    if key.revoked_at is not None:
        raise KeyRevoked
    return key


def _record(
    key: ManagementKey,
    act: str,
    *,
    before: dict[str, Any] | None = None,
    after: dict[str, Any] | None = None,
    reason: str = "",
    actor: Actor,
    now: datetime,
) -> None:
    audit.record(
        organization_id=key.organization_id,
        actor=actor,
        action=f"management_key.{act}",
        target_kind="management_key",
        target_id=key.id,
        before=before,
        after=after,
        reason=reason,
        now=now,
    )
