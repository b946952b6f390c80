"""Writing transfers: their entries, and with them the lots and balances that they move."""

from __future__ import annotations

import uuid
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from django.db import connection

from billing.enums import SYSTEM_KINDS, TransferKind
from billing.errors import IdempotencyMismatch
from billing.models import Account, Entry, Grant, Transfer
from tenants.identifiers import new_id

# How a kind of transfer counts against the capped accounts on its path.
DRAWS = {TransferKind.ALLOCATION: 1, TransferKind.RECLAIM: -1, TransferKind.REVERSAL: -1}


class Leg(NamedTuple):
    """So much of a grant into (positive) or out of (negative) an account."""

    account: Account
    grant: Grant
    amount_mtok: int


@dataclass(frozen=True)
class Draft:
    """A transfer that is to be written; its legs sum to zero. `reverses` is the transfer that it takes back."""

    kind: TransferKind
    legs: Sequence[Leg]
    path: Sequence[uuid.UUID] = ()
    idempotency_key: str | None = None
    reference: str = ""
    reason: str = ""
    reverses: Transfer | None = None

    @property
    def mtok(self) -> int:
        """How much it moves."""
        return sum(leg.amount_mtok for leg in self.legs if leg.amount_mtok > 0)


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
    draft = Draft(kind, legs, tuple(path), idempotency_key, reference, reason)
    return post_all([draft], now=now, actor=actor)[0]


def post_all(drafts: Sequence[Draft], *, now: datetime, actor: object = None) -> list[Transfer]:
    """Write transfers with their entries, and move lots, balances and draws along: five statements, however many.

    All accounts, those on the paths too, must be locked.
    """
    if not drafts:
        return []
    organization_id = drafts[0].legs[0].account.organization_id
    transfers = Transfer.objects.bulk_create(
        Transfer(
            id=new_id(),
            organization_id=organization_id,
            created_at=now,
            kind=draft.kind,
            path=list(draft.path),
            reverses=draft.reverses,
            idempotency_key=draft.idempotency_key,
            reference=draft.reference,
            reason=draft.reason,
            actor=str(actor or ""),
        )
        for draft in drafts
    )
    Entry.objects.bulk_create(
        Entry(
            organization_id=organization_id,
            created_at=now,
            transfer=transfer,
            account=leg.account,
            grant=leg.grant,
            amount_mtok=leg.amount_mtok,
        )
        for transfer, draft in zip(transfers, drafts, strict=True)
        for leg in draft.legs
    )
    _move_lots(drafts, organization_id, now)
    _move_balances(drafts)
    return transfers


# A negative amount cannot be inserted for ON CONFLICT to add it: the row's own constraint looks first.
_TAKE_FROM_LOTS = """
UPDATE billing_lot l SET posted_mtok = l.posted_mtok + d.mtok
FROM unnest(%(accounts)s::uuid[], %(grants)s::uuid[], %(mtok)s::bigint[]) AS d (account_id, grant_id, mtok)
WHERE l.org_id = %(org)s AND l.account_id = d.account_id AND l.grant_id = d.grant_id
"""
_ADD_TO_LOTS = """
INSERT INTO billing_lot (
    id, org_id, created_at, account_id, grant_id, posted_mtok, held_mtok, priority, expires_at, granted_at, frozen
)
SELECT tokensight_new_id(), g.org_id, %(now)s, d.account_id, g.id, d.mtok, 0, g.priority, g.expires_at, g.created_at,
       EXISTS (SELECT FROM billing_freeze f WHERE f.org_id = g.org_id AND f.grant_id = g.id AND f.thawed_at IS NULL)
FROM unnest(%(accounts)s::uuid[], %(grants)s::uuid[], %(mtok)s::bigint[]) AS d (account_id, grant_id, mtok)
JOIN billing_grant g ON g.org_id = %(org)s AND g.id = d.grant_id
ON CONFLICT (org_id, account_id, grant_id) DO UPDATE SET posted_mtok = billing_lot.posted_mtok + excluded.posted_mtok
"""
_MOVE_BALANCES = """
UPDATE billing_account a
SET posted_mtok = a.posted_mtok + d.posted, drawn_mtok = a.drawn_mtok + d.drawn, revision = a.revision + 1
FROM unnest(%s::uuid[], %s::bigint[], %s::bigint[]) AS d (id, posted, drawn)
WHERE a.id = d.id
"""


def _move_lots(drafts: Sequence[Draft], organization_id: uuid.UUID, now: datetime) -> None:
    net: dict[tuple[uuid.UUID, uuid.UUID], int] = defaultdict(int)
    for draft in drafts:
        for leg in draft.legs:
            if leg.account.kind not in SYSTEM_KINDS:
                net[leg.account.id, leg.grant.id] += leg.amount_mtok
    with connection.cursor() as cursor:
        for statement, sign in ((_TAKE_FROM_LOTS, -1), (_ADD_TO_LOTS, 1)):
            moved = {place: mtok for place, mtok in net.items() if mtok * sign > 0}
            if moved:
                parameters: dict[str, Any] = {
                    "org": organization_id,
                    "now": now,
                    "accounts": [account_id for account_id, _ in moved],
                    "grants": [grant_id for _, grant_id in moved],
                    "mtok": list(moved.values()),
                }
                cursor.execute(statement, parameters)


def _move_balances(drafts: Sequence[Draft]) -> None:
    posted: dict[uuid.UUID, int] = defaultdict(int)
    drawn: dict[uuid.UUID, int] = defaultdict(int)
    for draft in drafts:
        for leg in draft.legs:
            posted[leg.account.id] += leg.amount_mtok
        for account_id in draft.path:
            drawn[account_id] += DRAWS[draft.kind] * draft.mtok
    ids = sorted(posted.keys() | drawn.keys())
    with connection.cursor() as cursor:
        cursor.execute(_MOVE_BALANCES, [ids, [posted[id_] for id_ in ids], [drawn[id_] for id_ in ids]])
