"""Giving pools and sub-tokens their Tokens, or their ceilings, and taking them back: audited, by account.

Every function needs the organization's scope. Whatever it is given, an account that owns Tokens gets or loses Tokens,
and a capped one's ceiling is raised or lowered by as much.
"""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import Any

from django.db import transaction

from billing.enums import AccountKind, AccountMode
from billing.errors import AccountUnknown, AmountInvalid, InsufficientTokens, NoQuota, NotNested
from billing.models import Account, SubToken
from billing.services.accounts import change_cap
from billing.services.allocations import move_sideways
from billing.services.locks import lock_accounts
from billing.services.slices import add_tokens, take_back
from tenants.actors import Actor
from tenants.identifiers import new_id
from tenants.services import audit

SLICES = (AccountKind.TEAM_POOL, AccountKind.SUB_TOKEN)


def give(*, account_id: uuid.UUID, mtok: int, actor: Actor, now: datetime) -> Account:
    """Give a pool or sub-token more of its parent's Tokens, or a higher ceiling.

    Locks and raises as `slices.add_tokens`; AccountUnknown if there is no such slice.
    """
    with transaction.atomic():
        account = find_slice(account_id)
        add_tokens(account=account, mtok=mtok, actor=actor, now=now)
        record(account, "allocated", {"mtok": mtok}, actor, now)
    return account


def take(*, account_id: uuid.UUID, mtok: int | None = None, actor: Actor, now: datetime) -> int:
    """Take free Tokens, or ceiling, of a pool or sub-token back (None: all that is free); return how much.

    Of a pool, what it has itself: what it gave on stays where it is. Locks and raises as `slices.take_back`.
    """
    with transaction.atomic():
        account = find_slice(account_id)
        taken = take_back(account=account, mtok=mtok, actor=actor, now=now)
        if taken:
            record(account, "reclaimed", {"mtok": taken}, actor, now)
    return taken


def move(*, from_id: uuid.UUID, to_id: uuid.UUID, mtok: int | None = None, actor: Actor, now: datetime) -> int:
    """Move Tokens (`mtok`, or all that are free) to a sibling; between two capped ones, ceiling. Return how much.

    Expiry is kept, and the parent is not asked. Locks both. Raises NotNested unless both hang below the same account
    and are of the same mode, NoQuota where a capped one has no ceiling, and what `move_sideways` raises.
    """
    with transaction.atomic():
        source, target = find_slice(from_id), find_slice(to_id)
        if source.mode == target.mode == AccountMode.CAPPED:
            moved = _move_ceiling(source, target, mtok)
        else:
            transfer = move_sideways(
                from_account_id=from_id,
                to_account_id=to_id,
                mtok=mtok,
                idempotency_key=f"move:{new_id()}",
                actor=actor,
                now=now,
            )
            moved = transfer.amount_mtok if transfer else 0
        if moved:
            record(source, "moved", {"mtok": -moved, "to": target.label}, actor, now)
            record(target, "moved", {"mtok": moved, "from": source.label}, actor, now)
    return moved


def change_ceiling(*, account_id: uuid.UUID, mtok: int | None, actor: Actor, now: datetime) -> Account:
    """Set how much a capped pool or sub-token may draw in all (None: as far as its parent goes).

    Locks it. Raises NoQuota if it owns Tokens instead, CapBelowDrawn if it has drawn more already.
    """
    if mtok is not None and mtok < 0:
        raise AmountInvalid("A ceiling is not negative.")
    with transaction.atomic():
        account = find_slice(account_id)
        if account.mode != AccountMode.CAPPED:
            raise NoQuota("This has Tokens of its own and no ceiling.")
        before = lock_accounts([account_id])[account_id].cap_mtok
        change_cap(account_id=account_id, cap_mtok=mtok)
        if before != mtok:
            record(account, "ceiling_changed", {"ceiling_mtok": mtok}, actor, now, before={"ceiling_mtok": before})
    account.refresh_from_db()
    return account


def find_slice(account_id: uuid.UUID) -> Account:
    """Return the account of a pool or a sub-token. Raises AccountUnknown."""
    account = Account.objects.filter(id=account_id, kind__in=SLICES).first()
    if account is None:
        raise AccountUnknown("There is no such pool or sub-token.")
    return account


def record(
    account: Account,
    act: str,
    facts: dict[str, Any],
    actor: Actor,
    now: datetime,
    *,
    before: dict[str, Any] | None = None,
    reason: str = "",
) -> None:
    """Write what was done to an account into the audit log, under its team, its sub-token or the organization."""
    match account.kind:
        case AccountKind.SUB_TOKEN:
            kind, target_kind = "sub_token", "sub_token"
            target_id = SubToken.objects.values_list("id", flat=True).get(account=account)
        case AccountKind.TEAM_POOL:
            kind, target_kind, target_id = "pool", "team", account.team_id or account.id
        case _:
            kind, target_kind, target_id = "wallet", "organization", account.organization_id
    audit.record(
        organization_id=account.organization_id,
        actor=actor,
        action=f"{kind}.{act}",
        target_kind=target_kind,
        target_id=target_id,
        before=before,
        after={"name": account.label, **facts} if account.label else facts,
        reason=reason,
        now=now,
    )


def _move_ceiling(source: Account, target: Account, mtok: int | None) -> int:
    if mtok is not None and mtok <= 0:
        raise AmountInvalid("At least a thousandth of a Token must move.")
    if source.id == target.id or source.parent_id != target.parent_id:
        raise NotNested("A ceiling is moved between two accounts below the same one.")
    locked = lock_accounts([source.id, target.id])
    source, target = locked[source.id], locked[target.id]
    if source.cap_mtok is None or target.cap_mtok is None:
        raise NoQuota("One of them draws on its parent without a ceiling.")
    free = source.cap_mtok - source.drawn_mtok
    moved = free if mtok is None else mtok
    if moved > free:
        raise InsufficientTokens(free)
    change_cap(account_id=source.id, cap_mtok=source.cap_mtok - moved)
    change_cap(account_id=target.id, cap_mtok=target.cap_mtok + moved)
    return moved
