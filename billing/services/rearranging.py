"""Sharing Tokens out anew among what hangs below one account: many changes, one act, all or nothing."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from django.db import transaction

from billing.enums import SYSTEM_KINDS, AccountMode, TransferKind
from billing.errors import AccountUnknown, AmountInvalid, NoQuota, NotNested, StateChanged
from billing.models import Account
from billing.services.accounts import change_cap
from billing.services.allocations import check_open, check_room
from billing.services.locks import lock_accounts, way_from
from billing.services.pots import legs_between, pot_of, pots_of
from billing.services.splitting import record
from billing.services.transfers import Draft, post_all
from tenants.actors import Actor


@dataclass(frozen=True)
class Change:
    """What one account below gets (positive) or gives back (negative), and what it has then, in mtok.

    `before_mtok` and `after_mtok` are its free Tokens, or the ceiling of a capped one.
    """

    account_id: uuid.UUID
    label: str
    mode: str
    before_mtok: int
    mtok: int

    @property
    def after_mtok(self) -> int:
        return self.before_mtok + self.mtok


@dataclass(frozen=True)
class Arrangement:
    """All changes, what the account above has free before and after, and the state that they were worked out on."""

    changes: list[Change]
    free_before_mtok: int
    free_after_mtok: int
    state: str


def rearrange(
    *,
    account_id: uuid.UUID,
    changes: Mapping[uuid.UUID, int],
    state: str | None = None,
    actor: Actor,
    now: datetime,
) -> Arrangement:
    """Give to some accounts directly below this one and take from others: by `changes`, signed mtok for each.

    Tokens for those that own some, ceiling for capped ones. What is taken back can be given on in the same act; grant
    and expiry are kept, and burn order decides which Tokens move. With `state`, the one that `preview` answered, raises
    StateChanged if anybody moved Tokens or ceilings of these accounts since; spending in between is no change, and
    fails only what it leaves too little for.

    Needs the organization's scope; locks the changed accounts, this one, and those up to what pays for it. Raises
    AccountUnknown, NotNested, NoQuota, AmountInvalid, InsufficientTokens, QuotaExceeded, CapBelowDrawn, AccountClosed,
    AccountExpired.
    """
    changes = {child_id: mtok for child_id, mtok in changes.items() if mtok}
    if not changes:
        raise AmountInvalid("Nothing would change.")
    with transaction.atomic():
        node = Account.objects.filter(id=account_id).exclude(kind__in=SYSTEM_KINDS).first()
        if node is None:
            raise AccountUnknown("There is no such account.")
        funding_id, path = way_from(node)
        accounts = lock_accounts([funding_id, *path, *changes])
        if any(accounts[child_id].parent_id != node.id for child_id in changes):
            raise NotNested("Tokens are shared out among accounts directly below.")
        found_state = _state(accounts.values())
        if state is not None and state != found_state:
            raise StateChanged("Tokens were moved since this was worked out. Nothing was changed; look again.")
        children = [accounts[child_id] for child_id in changes]
        before = pots_of([accounts[funding_id], *children], now)
        rows = [
            Change(child.id, child.label, child.mode, _before(child, before[child.id].free_mtok), changes[child.id])
            for child in children
        ]
        free_before = before[funding_id].free_mtok
        _lend_and_return(children, changes, funding_id, path, actor, now)
        after = pot_of(accounts[funding_id], now).free_mtok
        facts = {"changes": {row.label or str(row.account_id): row.mtok for row in rows}}
        record(node, "rearranged", facts, actor, now)
    return Arrangement(rows, free_before, after, found_state)


def preview(*, account_id: uuid.UUID, changes: Mapping[uuid.UUID, int], actor: Actor, now: datetime) -> Arrangement:
    """Return what `rearrange` would do now, to the thousandth: it is done, and undone. Raises what it raises.

    Lock no accounts afterwards in the same transaction: whoever waited for one of the undone locks waits, first in its
    queue, for the transaction's end by now, and the two would wait for each other.
    """
    with transaction.atomic():
        arrangement = rearrange(account_id=account_id, changes=changes, actor=actor, now=now)
        transaction.set_rollback(True)
    return arrangement


def _lend_and_return(
    children: list[Account],
    changes: Mapping[uuid.UUID, int],
    funding_id: uuid.UUID,
    path: list[uuid.UUID],
    actor: Actor,
    now: datetime,
) -> None:
    """Take back first, so that it can be given on; all accounts are locked."""
    fenced = [child for child in children if child.mode == AccountMode.RING_FENCED]
    pots = pots_of(fenced, now)
    way = lock_accounts([funding_id, *path])
    returns = [
        Draft(TransferKind.RECLAIM, legs_between(child, way[funding_id], pots[child.id].take(-changes[child.id])), path)
        for child in fenced
        if changes[child.id] < 0
    ]
    post_all(returns, now=now, actor=actor)
    receivers = [child for child in fenced if changes[child.id] > 0]
    if receivers:
        way = lock_accounts([funding_id, *path])
        check_open([*way.values(), *receivers], now)
        check_room(way.values(), sum(changes[child.id] for child in receivers))
        pot = pot_of(way[funding_id], now)
        loans = [
            Draft(TransferKind.ALLOCATION, legs_between(pot.account, child, pot.take(changes[child.id])), path)
            for child in receivers
        ]
        post_all(loans, now=now, actor=actor)
    for child in children:
        if child.mode == AccountMode.CAPPED:
            change_cap(account_id=child.id, cap_mtok=_before(child, 0) + changes[child.id])


def _before(child: Account, free_mtok: int) -> int:
    if child.mode == AccountMode.RING_FENCED:
        return free_mtok
    if child.cap_mtok is None:
        raise NoQuota(f"{child.label} draws on its parent without a ceiling.")
    return child.cap_mtok


def _state(accounts: Iterable[Account]) -> str:
    known = sorted(f"{account.id}:{account.revision}" for account in accounts)
    return hashlib.sha256(" ".join(known).encode()).hexdigest()[:32]
