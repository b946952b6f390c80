"""Writing a transfer: its entries, and with them the lots and balances that they move."""

from __future__ import annotations

import uuid
from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import NamedTuple

from django.db.models import F, Q

from billing.enums import SYSTEM_KINDS, TransferKind
from billing.errors import IdempotencyMismatch, InsufficientTokens
from billing.models import Account, Entry, Grant, Lot, Transfer


class Leg(NamedTuple):
    """So much of a grant into (positive) or out of (negative) an account."""

    account: Account
    grant: Grant
    amount_mtok: int


class Part(NamedTuple):
    """So much of a lot."""

    lot: Lot
    mtok: int


def find_earlier(
    *, organization_id: uuid.UUID, idempotency_key: str, kind: TransferKind, moved: dict[uuid.UUID, int | None]
) -> Transfer | None:
    """Return the transfer that a retry repeats, or None if the key is new. Call it under the accounts' locks.

    `moved` says how much the request moves into each of these accounts, None meaning any amount. Raises
    IdempotencyMismatch if the key was used for another kind of transfer, other accounts or another amount.
    """
    earlier = Transfer.objects.filter(organization_id=organization_id, idempotency_key=idempotency_key).first()
    if earlier is None:
        return None
    before: dict[uuid.UUID, int] = defaultdict(int)
    for entry in earlier.entries.all():
        before[entry.account_id] += entry.amount_mtok
    same = earlier.kind == kind and all(
        account_id in before and amount in (None, before[account_id]) for account_id, amount in moved.items()
    )
    if not same:
        raise IdempotencyMismatch(f"The idempotency key {idempotency_key!r} was used before, for something else.")
    return earlier


def take_in_burn_order(account: Account, mtok: int | None, now: datetime) -> list[Part]:
    """Choose unexpired lots worth `mtok` (None: all that is available) as spending would. The account must be locked.

    Raises InsufficientTokens if there is less.
    """
    alive = Q(expires_at__isnull=True) | Q(expires_at__gt=now)
    lots = Lot.objects.filter(alive, account=account, spent=False, posted_mtok__gt=F("held_mtok"))
    parts, missing = [], mtok
    for lot in lots.select_related("grant").order_by(
        "priority", F("expires_at").asc(nulls_last=True), "granted_at", "id"
    ):
        free = lot.posted_mtok - lot.held_mtok
        taken = free if missing is None else min(free, missing)
        if taken:
            parts.append(Part(lot, taken))
        if missing is not None:
            missing -= taken
    if missing:
        raise InsufficientTokens(sum(part.mtok for part in parts))
    return parts


def post(
    *,
    kind: TransferKind,
    legs: Sequence[Leg],
    now: datetime,
    path: Iterable[uuid.UUID] = (),
    idempotency_key: str | None = None,
    reference: str = "",
    reason: str = "",
    actor: object = None,
) -> Transfer:
    """Write one transfer with its entries, and move lots and balances along. All accounts must be locked."""
    transfer = Transfer.objects.create(
        organization_id=legs[0].account.organization_id,
        created_at=now,
        kind=kind,
        path=list(path),
        idempotency_key=idempotency_key,
        reference=reference,
        reason=reason,
        actor=str(actor or ""),
    )
    Entry.objects.bulk_create(
        Entry(
            organization_id=transfer.organization_id,
            created_at=now,
            transfer=transfer,
            account=leg.account,
            grant=leg.grant,
            amount_mtok=leg.amount_mtok,
        )
        for leg in legs
    )
    for leg in legs:
        if leg.account.kind not in SYSTEM_KINDS:
            _move_lot(leg, now)
        Account.objects.filter(id=leg.account.id).update(posted_mtok=F("posted_mtok") + leg.amount_mtok)
    return transfer


def _move_lot(leg: Leg, now: datetime) -> None:
    lots = Lot.objects.filter(account=leg.account, grant=leg.grant)
    if not lots.update(posted_mtok=F("posted_mtok") + leg.amount_mtok):
        Lot.objects.create(
            organization_id=leg.account.organization_id,
            created_at=now,
            account=leg.account,
            grant=leg.grant,
            posted_mtok=leg.amount_mtok,
            priority=leg.grant.priority,
            expires_at=leg.grant.expires_at,
            granted_at=leg.grant.created_at,
        )
