"""Taking back Tokens whose money went back already: what is unspent goes, what was spent is owed.

For refunds that were made without asking us and for disputes that were lost. Running calls hold Tokens, and whether
those are spent is known only when they end: until then the grant is frozen and this is done again.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from django.db import transaction
from django.db.models import Sum

from billing.enums import AccountKind, DebtCause, TransferKind
from billing.errors import AccountUnknown
from billing.models import Account, Debt, Grant, Lot, Transfer
from billing.queries.hanging import places_above
from billing.services.debts import give_back, owe, spent_mtok, void
from billing.services.freezes import freeze, thaw
from billing.services.locks import lock_accounts, lock_whatever
from billing.services.withdrawals import withdraw
from tenants.actors import Actor


@dataclass(frozen=True)
class TakeBack:
    """What one round took (mtok), what is owed since, and whether running calls hold what is still missing."""

    taken_mtok: int
    owed_mtok: int
    waits: bool


def take_back(
    *,
    grant: Grant,
    mtok: int,
    cause: DebtCause,
    reference: str,
    reason: str,
    actor: Actor,
    now: datetime,
) -> TakeBack:
    """Take `mtok` of a grant back, frozen and expired ones too, and let the organization owe what was spent of them.

    What is held stays until its call ends: then `waits` is true, the grant stays frozen for `reference`, and the caller
    comes again with what is still missing. What expired before, or was taken back for another reason, is nobody's debt.
    Needs the organization's scope and a transaction; locks every account that has such Tokens, those above them, the
    wallet and the refunded account.
    """
    with transaction.atomic():
        lock_for_taking(grant.organization_id, [grant])
        before = Transfer.objects.filter(
            organization_id=grant.organization_id, kind=TransferKind.REVERSAL, reference=reference
        ).count()
        taken = withdraw(
            organization_id=grant.organization_id,
            grants=[grant],
            mtok=mtok,
            reason=reason,
            reference=reference,
            idempotency_key=f"{reference}/{before}",
            actor=actor.name or actor,
            now=now,
            forced=True,
        ).mtok
        missing = mtok - taken
        held = Lot.objects.filter(grant=grant).aggregate(mtok=Sum("held_mtok"))["mtok"] or 0
        if missing and held:
            freeze(organization_id=grant.organization_id, grant_ids=[grant.id], reference=reference, now=now)
            return TakeBack(taken, 0, waits=True)
        owed = min(missing, spent_mtok(grant))
        if owed:
            owe(grant=grant, cause=cause, reference=reference, mtok=owed, actor=actor, now=now)
        thaw(grant_ids=[grant.id], reference=reference, now=now)
    return TakeBack(taken, owed, waits=False)


def undo_take_back(*, grant: Grant, reference: str, actor: Actor, now: datetime) -> int:
    """Put back into the wallet what was taken for `reference`, and void the debt; return what came back (mtok).

    For a refund that failed after all and a dispute that was won after all. Safe to repeat. Needs the organization's
    scope; locks as `take_back`.
    """
    with transaction.atomic():
        wallet, refunded = lock_for_taking(grant.organization_id, [grant])
        back = give_back(reference=reference, wallet=wallet, refunded=refunded, actor=actor, now=now)
        for debt in Debt.objects.filter(organization_id=grant.organization_id, reference=reference):
            back += void(debt=debt, wallet=wallet, refunded=refunded, actor=actor, now=now)
        thaw(grant_ids=[grant.id], reference=reference, now=now)
    return back


def lock_for_taking(organization_id: uuid.UUID, grants: Sequence[Grant]) -> tuple[Account, Account]:
    """Lock all that taking these grants back, or undoing that, locks; return the wallet and the refunded account.

    Needs a transaction. What locks some of them again afterwards waits for nobody. Raises AccountUnknown.
    """
    ends = Account.objects.filter(
        organization_id=organization_id, kind__in=[AccountKind.ORG_WALLET, AccountKind.REFUNDED]
    )
    ids: dict[str, uuid.UUID] = dict(ends.values_list("kind", "id"))
    if len(ids) < 2:
        raise AccountUnknown("This organization has no wallet yet.")

    def involved() -> set[uuid.UUID]:
        return {*ids.values(), *places_above(Lot.objects.filter(grant__in=grants).values_list("account_id", flat=True))}

    lock_whatever(involved)
    accounts = lock_accounts(ids.values())
    return accounts[ids[AccountKind.ORG_WALLET]], accounts[ids[AccountKind.REFUNDED]]
