"""Slices of an organization's Tokens: what team pools and sub-tokens have in common.

An allocated slice owns Tokens: adding moves them down from its parent, taking back moves them up again. A capped one
draws on its parent: adding raises its quota, taking back lowers it to no less than what was drawn.
"""

from __future__ import annotations

import uuid
from datetime import datetime

from django.db import transaction

from billing.enums import AccountKind, AccountMode, SubTokenMode
from billing.errors import AmountInvalid, InsufficientTokens, NoQuota
from billing.models import Account
from billing.services.accounts import change_cap, open_account
from billing.services.allocations import allocate, reclaim
from billing.services.locks import lock_accounts
from tenants.actors import Actor
from tenants.identifiers import new_id

MODE_OF_ACCOUNT = {
    SubTokenMode.ALLOCATED: AccountMode.RING_FENCED,
    SubTokenMode.CAPPED: AccountMode.CAPPED,
}


def open_slice(
    *,
    kind: AccountKind,
    parent: Account,
    mode: SubTokenMode,
    mtok: int | None,
    team_id: uuid.UUID | None = None,
    label: str,
    expires_at: datetime | None = None,
    actor: Actor,
    now: datetime,
) -> Account:
    """Open an account below `parent` with `mtok` of its Tokens, or with that quota (None: as far as the parent goes).

    Needs the organization's scope; locks as `allocate`. Raises what `allocate` raises, InsufficientTokens above all.
    """
    account = open_account(
        kind=kind,
        parent_id=parent.id,
        mode=MODE_OF_ACCOUNT[mode],
        cap_mtok=mtok if mode == SubTokenMode.CAPPED else None,
        team_id=team_id,
        label=label,
        expires_at=expires_at,
    )
    if mode == SubTokenMode.ALLOCATED and mtok:
        add_tokens(account=account, mtok=mtok, actor=actor, now=now)
    return account


def add_tokens(*, account: Account, mtok: int, actor: Actor, now: datetime) -> None:
    """Give a slice more Tokens, or a higher quota. Locks as `allocate`; raises what it raises, and NoQuota."""
    if account.mode == AccountMode.RING_FENCED:
        allocate(
            from_account_id=_parent_of(account),
            to_account_id=account.id,
            mtok=mtok,
            idempotency_key=f"slice:{new_id()}",
            actor=actor,
            now=now,
        )
        return
    if mtok <= 0:
        raise AmountInvalid("At least a thousandth of a Token must be added.")
    with transaction.atomic():
        change_cap(account_id=account.id, cap_mtok=_quota(lock_accounts([account.id])[account.id]) + mtok)


def take_back(*, account: Account, mtok: int | None, actor: Actor, now: datetime) -> int:
    """Take Tokens, or quota, of a slice back (None: all that is free), and return how much that was.

    Tokens go to where they came from, with their original expiry. What is held stays. Locks as `reclaim`; raises what
    it raises, InsufficientTokens when less than `mtok` is free.
    """
    if account.mode == AccountMode.RING_FENCED:
        transfer = reclaim(account_id=account.id, mtok=mtok, idempotency_key=f"slice:{new_id()}", actor=actor, now=now)
        entries = transfer.entries.filter(account=account) if transfer else []
        return -sum(entry.amount_mtok for entry in entries)
    if mtok is not None and mtok <= 0:
        raise AmountInvalid("At least a thousandth of a Token must be taken back.")
    with transaction.atomic():
        locked = lock_accounts([account.id])[account.id]
        free = _quota(locked) - locked.drawn_mtok
        taken = free if mtok is None else mtok
        if taken > free:
            raise InsufficientTokens(free)
        change_cap(account_id=account.id, cap_mtok=_quota(locked) - taken)
    return taken


def _parent_of(account: Account) -> uuid.UUID:
    assert account.parent_id is not None, "a slice hangs below another account"
    return account.parent_id


def _quota(account: Account) -> int:
    if account.cap_mtok is None:
        raise NoQuota("This draws on its parent without a quota.")
    return account.cap_mtok
