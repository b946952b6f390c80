"""Putting mistakes right: by transfers that go the other way, never by changing what was written.

Each needs a reason, leaves an audit event, and goes only as far as the Tokens are unspent.
"""

from __future__ import annotations

import uuid
from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime

from django.db import transaction

from billing.enums import SYSTEM_KINDS, TransferKind
from billing.errors import GrantUnknown, NotReversible, ReasonMissing, TransferUnknown
from billing.models import Account, Entry, Grant, Hold, Transfer
from billing.services.locks import lock_accounts
from billing.services.pots import pots_of
from billing.services.transfers import Draft, Leg, find_earlier, post_all
from billing.services.withdrawals import Withdrawal, withdraw
from tenants.actors import Actor
from tenants.scope import organization_scope
from tenants.services import audit

REVERSIBLE = (TransferKind.GRANT, TransferKind.ALLOCATION, TransferKind.MOVE, TransferKind.CAPTURE)


def correct_grant(
    *,
    organization_id: uuid.UUID,
    grant_id: uuid.UUID,
    mtok: int | None,
    reason: str,
    idempotency_key: str,
    actor: Actor,
    now: datetime,
) -> Withdrawal:
    """Take back what is unspent of a grant that should not have been, or should have been less (None: all of it).

    Wherever in the organization its Tokens are now; see `withdraw` for the order. The grant's row stays as it was
    written: granted = available + held + frozen + consumed + expired + refunded still holds. Opens its own scope.
    Raises GrantUnknown, ReasonMissing, AmountInvalid, IdempotencyMismatch.
    """
    _require(reason)
    with organization_scope(organization_id):
        grant = Grant.objects.filter(organization_id=organization_id, id=grant_id).first()
        if grant is None:
            raise GrantUnknown("There is no such grant.")
        withdrawal = withdraw(
            organization_id=organization_id,
            grants=[grant],
            mtok=mtok,
            reason=reason,
            reference=f"grant:{grant.id}",
            idempotency_key=idempotency_key,
            actor=actor,
            now=now,
        )
        if not withdrawal.repeated:
            audit.record(
                organization_id=organization_id,
                actor=actor,
                action="grant.corrected",
                target_kind="grant",
                target_id=grant.id,
                after={"mtok": -withdrawal.mtok},
                reason=reason,
                now=now,
            )
    return withdrawal


def reverse_transfer(
    *,
    organization_id: uuid.UUID,
    transfer_id: uuid.UUID,
    reason: str,
    idempotency_key: str,
    actor: Actor,
    now: datetime,
) -> int:
    """Move the Tokens of a transfer back the way they came, as far as they are still there; return how many (mtok).

    A grant: as `correct_grant`. An allocation or a move sideways: from the account that got them, unless spent or
    held. A capture: from *consumed* to the account that paid, with the grant and expiry that they had, so what has
    expired meanwhile goes with the next expiry. Reversing twice moves nothing twice. The other kinds have an ordinary
    opposite: allocate again what was reclaimed, grant again what expired.

    Opens its own scope; locks the accounts of the transfer and those on its path. Raises TransferUnknown,
    NotReversible, ReasonMissing, IdempotencyMismatch.
    """
    _require(reason)
    with organization_scope(organization_id), transaction.atomic():
        original = Transfer.objects.filter(organization_id=organization_id, id=transfer_id).first()
        if original is None:
            raise TransferUnknown("There is no such transfer.")
        if original.kind not in REVERSIBLE:
            raise NotReversible(f"A transfer of kind {original.kind} is not reversed: do the opposite instead.")
        entries = list(original.entries.select_related("grant").order_by("id"))
        if original.kind == TransferKind.GRANT:
            return correct_grant(
                organization_id=organization_id,
                grant_id=entries[0].grant_id,
                mtok=None,
                reason=reason,
                idempotency_key=idempotency_key,
                actor=actor,
                now=now,
            ).mtok
        path = _path_of(original)
        accounts = lock_accounts({entry.account_id for entry in entries} | set(path))
        earlier = find_earlier(
            organization_id=organization_id,
            idempotency_key=idempotency_key,
            kind=TransferKind.REVERSAL,
            moved={entry.account_id: None for entry in entries},
        )
        if earlier:
            return earlier.amount_mtok
        legs = _legs_back(original, entries, accounts, now)
        if not legs:
            return 0
        draft = Draft(TransferKind.REVERSAL, legs, path, idempotency_key, str(original.id), reason, original)
        (reversal,) = post_all([draft], now=now, actor=actor)
        audit.record(
            organization_id=organization_id,
            actor=actor,
            action="transfer.reversed",
            target_kind="transfer",
            target_id=original.id,
            after={"mtok": draft.mtok, "kind": original.kind, "reversal": str(reversal.id)},
            reason=reason,
            now=now,
        )
        return draft.mtok


def _legs_back(
    original: Transfer, entries: Sequence[Entry], accounts: dict[uuid.UUID, Account], now: datetime
) -> list[Leg]:
    """Return the legs of the reversal: grant by grant, what went into an account and is there, back to the others.

    What earlier reversals of the same transfer took back is not taken again.
    """
    done: dict[tuple[uuid.UUID, uuid.UUID], int] = defaultdict(int)
    for entry in Entry.objects.filter(transfer__reverses=original):
        done[entry.account_id, entry.grant_id] += entry.amount_mtok
    pots = pots_of((account for account in accounts.values() if account.kind not in SYSTEM_KINDS), now)
    legs: list[Leg] = []
    for grant in {entry.grant_id: entry.grant for entry in entries}.values():
        left = {
            entry.account_id: entry.amount_mtok + done[entry.account_id, grant.id]
            for entry in entries
            if entry.grant_id == grant.id
        }
        givers = {account_id: mtok for account_id, mtok in left.items() if mtok > 0}
        takers = {account_id: -mtok for account_id, mtok in left.items() if mtok < 0}
        for giver_id, mtok in givers.items():
            if giver_id in pots:
                mtok = min(mtok, pots[giver_id].free_of(grant))
            for taker_id, owed in takers.items():
                moved = min(mtok, owed)
                if moved:
                    legs += [Leg(accounts[giver_id], grant, -moved), Leg(accounts[taker_id], grant, moved)]
                    takers[taker_id] -= moved
                    mtok -= moved
    return legs


def _path_of(original: Transfer) -> list[uuid.UUID]:
    if original.kind != TransferKind.CAPTURE:
        return list(original.path)
    # A capture's path stands on its hold. In the product the hold has the id of the job that the capture refers to.
    holds = Hold.objects.filter(organization_id=original.organization_id, transfer=original)
    hold = holds.filter(id=original.reference).first() or holds.get()
    return list(hold.path)


def _require(reason: str) -> None:
    if not reason.strip():
        raise ReasonMissing("A correction needs a reason.")
