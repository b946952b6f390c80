"""Moving Tokens down to an account, up again, or sideways to its sibling; each keeps its grant and expiry."""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from datetime import datetime

from django.db import transaction

from billing.enums import AccountMode, TransferKind
from billing.errors import (
    AccountClosed,
    AccountExpired,
    AccountUnknown,
    AmountInvalid,
    NotNested,
    QuotaExceeded,
)
from billing.models import Account, Transfer
from billing.services.locks import lock_accounts, way_from
from billing.services.pots import legs_between, pot_of
from billing.services.transfers import find_earlier, post


def allocate(
    *,
    from_account_id: uuid.UUID,
    to_account_id: uuid.UUID,
    mtok: int,
    idempotency_key: str,
    now: datetime,
    actor: object = None,
    reason: str = "",
) -> Transfer:
    """Move available Tokens from an account to a ring-fenced one directly below it, in burn order.

    From a capped account they come out of what it draws on, and count against its cap. Runs in the caller's scope;
    locks both accounts and those between. Raises AmountInvalid, AccountUnknown, NotNested, AccountClosed,
    AccountExpired, QuotaExceeded, InsufficientTokens, IdempotencyMismatch.
    """
    if mtok <= 0:
        raise AmountInvalid("At least a thousandth of a Token must move.")
    with transaction.atomic():
        upper, lower = _find(from_account_id), _find(to_account_id)
        if lower.parent_id != upper.id:
            raise NotNested("Tokens are allocated to an account directly below.")
        if lower.mode != AccountMode.RING_FENCED:
            raise NotNested("A capped account draws on its parent and takes no Tokens of its own.")
        funding_id, path = way_from(upper)
        accounts = lock_accounts([funding_id, *path, lower.id])
        funding, lower = accounts[funding_id], accounts[lower.id]
        earlier = find_earlier(
            organization_id=lower.organization_id,
            idempotency_key=idempotency_key,
            kind=TransferKind.ALLOCATION,
            moved={lower.id: mtok, funding_id: -mtok},
        )
        if earlier:
            return earlier
        check_open(accounts.values(), now)
        check_room(accounts.values(), mtok)
        return post(
            kind=TransferKind.ALLOCATION,
            legs=legs_between(funding, lower, pot_of(funding, now).take(mtok)),
            now=now,
            path=path,
            idempotency_key=idempotency_key,
            reason=reason,
            actor=actor,
        )


def reclaim(
    *,
    account_id: uuid.UUID,
    idempotency_key: str,
    now: datetime,
    mtok: int | None = None,
    actor: object = None,
    reason: str = "",
) -> Transfer | None:
    """Move available Tokens (`mtok`, or all) back to where the account's Tokens come from, in burn order.

    Also from an account that is closed or expired; held Tokens stay until their hold resolves. Returns None if all
    were asked for and there is nothing. Runs in the caller's scope; locks both accounts and those between. Raises
    AmountInvalid, AccountUnknown, NotNested, InsufficientTokens, IdempotencyMismatch.
    """
    if mtok is not None and mtok <= 0:
        raise AmountInvalid("At least a thousandth of a Token must move.")
    with transaction.atomic():
        lower = _find(account_id)
        if lower.parent_id is None or lower.mode != AccountMode.RING_FENCED:
            raise NotNested("Only an account that Tokens were allocated to can give them back.")
        funding_id, path = way_from(_find(lower.parent_id))
        accounts = lock_accounts([funding_id, *path, lower.id])
        funding, lower = accounts[funding_id], accounts[lower.id]
        earlier = find_earlier(
            organization_id=lower.organization_id,
            idempotency_key=idempotency_key,
            kind=TransferKind.RECLAIM,
            moved={lower.id: None if mtok is None else -mtok, funding_id: mtok},
        )
        if earlier:
            return earlier
        parts = pot_of(lower, now).take(mtok)
        if not parts:
            return None
        return post(
            kind=TransferKind.RECLAIM,
            legs=legs_between(lower, funding, parts),
            now=now,
            path=path,
            idempotency_key=idempotency_key,
            reason=reason,
            actor=actor,
        )


def move_sideways(
    *,
    from_account_id: uuid.UUID,
    to_account_id: uuid.UUID,
    idempotency_key: str,
    now: datetime,
    mtok: int | None = None,
    actor: object = None,
    reason: str = "",
) -> Transfer | None:
    """Move available Tokens (`mtok`, or all) to another account below the same parent, in burn order.

    Grant and expiry are kept, and no cap above is touched: what the parent lent stays lent. The account they leave may
    be closed or expired. Returns None if all were asked for and there is nothing. Runs in the caller's scope; locks
    both accounts. Raises AmountInvalid, AccountUnknown, NotNested, AccountClosed, AccountExpired, InsufficientTokens,
    IdempotencyMismatch.
    """
    if mtok is not None and mtok <= 0:
        raise AmountInvalid("At least a thousandth of a Token must move.")
    with transaction.atomic():
        source, target = _find(from_account_id), _find(to_account_id)
        if source.id == target.id or source.parent_id is None or source.parent_id != target.parent_id:
            raise NotNested("Tokens are moved sideways between two accounts below the same one.")
        if AccountMode.CAPPED in (source.mode, target.mode):
            raise NotNested("A capped account has no Tokens of its own to move.")
        accounts = lock_accounts([source.id, target.id])
        source, target = accounts[source.id], accounts[target.id]
        earlier = find_earlier(
            organization_id=source.organization_id,
            idempotency_key=idempotency_key,
            kind=TransferKind.MOVE,
            moved={source.id: None if mtok is None else -mtok, target.id: mtok},
        )
        if earlier:
            return earlier
        check_open([target], now)
        parts = pot_of(source, now).take(mtok)
        if not parts:
            return None
        return post(
            kind=TransferKind.MOVE,
            legs=legs_between(source, target, parts),
            now=now,
            idempotency_key=idempotency_key,
            reason=reason,
            actor=actor,
        )


def _find(account_id: uuid.UUID) -> Account:
    account = Account.objects.filter(id=account_id).first()
    if account is None:
        raise AccountUnknown("There is no such account.")
    return account


def check_open(accounts: Iterable[Account], now: datetime) -> None:
    """Raise AccountClosed or AccountExpired unless all these locked accounts may take Tokens."""
    for account in accounts:
        if account.closed_at is not None:
            raise AccountClosed("The account is closed.")
        if account.expires_at is not None and account.expires_at <= now:
            raise AccountExpired("The account's time is over.")


def check_room(accounts: Iterable[Account], mtok: int) -> None:
    """Raise QuotaExceeded if a cap among these locked accounts leaves less room than `mtok`."""
    rooms = [account.cap_mtok - account.drawn_mtok for account in accounts if account.cap_mtok is not None]
    if rooms and min(rooms) < mtok:
        raise QuotaExceeded(min(rooms))
