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
    """What one round took (mtok), what is owed since, and whether running calls hold what is still missing.

    `bonus_mtok` is what it took for the bonus.
    """

    taken_mtok: int
    owed_mtok: int
    waits: bool
    bonus_mtok: int = 0


def take_back(
    *,
    grant: Grant,
    mtok: int,
    cause: DebtCause,
    reference: str,
    reason: str,
    actor: Actor,
    now: datetime,
    bonuses: Sequence[Grant] = (),
    bonus_mtok: int = 0,
) -> TakeBack:
    """Take `mtok` of a grant back, frozen and expired ones too, and let the organization owe what was spent of them.

    Of the `bonuses` that came with it `bonus_mtok` go too; where they were spent, as many of the grant itself. What is
    held stays until its call ends: then `waits` is true, the grants stay frozen for `reference`, and the caller
    comes again with what is still missing. What expired before, or was taken back for another reason, is nobody's debt,
    and what is owed for `reference` already is not owed twice. Needs the organization's scope and a transaction; locks
    every account that has such Tokens, those above them, the wallet and the refunded account.
    """
    grants = [grant, *bonuses]
    owed_for = {f"{reference}/bonus": bonuses, reference: [grant]}
    with transaction.atomic():
        lock_for_taking(grant.organization_id, grants)
        debts = Debt.objects.filter(organization_id=grant.organization_id, voided_at=None, reference__in=owed_for)
        owed_before = dict(debts.values_list("reference", "owed_mtok"))
        mtok -= owed_before.get(reference, 0)
        bonus_mtok -= owed_before.get(f"{reference}/bonus", 0)
        before = Transfer.objects.filter(
            organization_id=grant.organization_id, kind=TransferKind.REVERSAL, reference=reference
        ).count()

        def take(of: Sequence[Grant], wanted_mtok: int, key: str) -> int:
            if wanted_mtok <= 0:
                return 0
            return withdraw(
                organization_id=grant.organization_id,
                grants=of,
                mtok=wanted_mtok,
                reason=reason,
                reference=reference,
                idempotency_key=key,
                actor=actor.name or actor,
                now=now,
                forced=True,
            ).mtok

        taken = take([grant], mtok, f"{reference}/{before}")
        bonus = take([*bonuses, grant], bonus_mtok, f"{reference}/{before}/bonus")
        missing = {reference: mtok - taken, f"{reference}/bonus": bonus_mtok - bonus}
        held = Lot.objects.filter(grant__in=grants).aggregate(mtok=Sum("held_mtok"))["mtok"] or 0
        ids = [one.id for one in grants]
        if any(left > 0 for left in missing.values()) and held:
            freeze(organization_id=grant.organization_id, grant_ids=ids, reference=reference, now=now)
            return TakeBack(taken, 0, waits=True, bonus_mtok=bonus)
        owed = 0
        for bears, spent in owed_for.items():
            for one in spent:
                more = min(missing[bears], spent_mtok(one))
                if more > 0:
                    owe(grant=one, cause=cause, reference=bears, mtok=more, actor=actor, now=now)
                    owed += more
        thaw(grant_ids=ids, reference=reference, now=now)
    return TakeBack(taken, owed, waits=False, bonus_mtok=bonus)


def undo_take_back(*, grant: Grant, reference: str, actor: Actor, now: datetime, bonuses: Sequence[Grant] = ()) -> int:
    """Put back into the wallet what was taken for `reference`, and void the debt; return what came back (mtok).

    For a refund that failed after all and a dispute that was won after all. Safe to repeat. Needs the organization's
    scope; locks as `take_back`.
    """
    with transaction.atomic():
        wallet, refunded = lock_for_taking(grant.organization_id, [grant, *bonuses])
        back = give_back(reference=reference, wallet=wallet, refunded=refunded, actor=actor, now=now)
        references = [reference, f"{reference}/bonus"]
        for debt in Debt.objects.filter(organization_id=grant.organization_id, reference__in=references):
            back += void(debt=debt, wallet=wallet, refunded=refunded, actor=actor, now=now)
        thaw(grant_ids=[grant.id, *(bonus.id for bonus in bonuses)], reference=reference, now=now)
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
