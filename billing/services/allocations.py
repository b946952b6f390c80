"""Moving Tokens down to an account (allocate) and back up again (reclaim), each keeping its grant and expiry."""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from datetime import datetime

from django.db import transaction
from django.db.models import F

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
from billing.services.transfers import Leg, find_earlier, post, take_in_burn_order


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
        _check_open(accounts.values(), now)
        room = min(
            (account.cap_mtok - account.drawn_mtok for account in accounts.values() if account.cap_mtok is not None),
            default=mtok,
        )
        if room < mtok:
            raise QuotaExceeded(room)
        parts = take_in_burn_order(funding, mtok, now)
        transfer = post(
            kind=TransferKind.ALLOCATION,
            legs=[
                leg for lot, taken in parts for leg in (Leg(funding, lot.grant, -taken), Leg(lower, lot.grant, taken))
            ],
            now=now,
            path=path,
            idempotency_key=idempotency_key,
            reason=reason,
            actor=actor,
        )
        Account.objects.filter(id__in=path).update(drawn_mtok=F("drawn_mtok") + mtok)
        return transfer


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
        parts = take_in_burn_order(lower, mtok, now)
        if not parts:
            return None
        transfer = post(
            kind=TransferKind.RECLAIM,
            legs=[
                leg for lot, taken in parts for leg in (Leg(lower, lot.grant, -taken), Leg(funding, lot.grant, taken))
            ],
            now=now,
            path=path,
            idempotency_key=idempotency_key,
            reason=reason,
            actor=actor,
        )
        reclaimed = sum(part.mtok for part in parts)
        Account.objects.filter(id__in=path).update(drawn_mtok=F("drawn_mtok") - reclaimed)
        return transfer


def _find(account_id: uuid.UUID) -> Account:
    account = Account.objects.filter(id=account_id).first()
    if account is None:
        raise AccountUnknown("There is no such account.")
    return account


def _check_open(accounts: Iterable[Account], now: datetime) -> None:
    for account in accounts:
        if account.closed_at is not None:
            raise AccountClosed("The account is closed.")
        if account.expires_at is not None and account.expires_at <= now:
            raise AccountExpired("The account's time is over.")
