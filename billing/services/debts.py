"""Tokens that an organization owes: how a debt comes, is settled by what is bought next, or is forgiven.

A debt is of Tokens that were spent, and paid back in money nevertheless. Settling moves as many Tokens of a later
purchase to the refunded account, where the spent ones could not go: so what lies there is, in the end, all that was
paid back.
"""

from __future__ import annotations

import uuid
from datetime import datetime

from django.db import transaction
from django.db.models import F, Q, Sum

from billing.enums import AccountKind, AlertRule, DebtCause, GrantSource, TransferKind
from billing.errors import AccountUnknown, DebtUnknown, InsufficientTokens, ReasonMissing
from billing.models import Account, Debt, Entry, Grant, Lot, Transfer
from billing.queries.debts import owed_mtok
from billing.services.alerts import raise_alert
from billing.services.locks import lock_accounts
from billing.services.pots import Pot, legs_between, pots_of
from billing.services.transfers import Draft, Leg, post_all
from tenants.actors import Actor
from tenants.services import audit

# What was paid for settles a debt. Trials, gifts and promotions do not.
SETTLING = (GrantSource.PURCHASE, GrantSource.PLAN)
# Transfers that settle a debt, or give that back, bear it in their reference.
BY_DEBT = Q(transfer__reference__startswith="debt:")


def spent_mtok(grant: Grant) -> int:
    """Return how much of a grant was spent and is in no debt yet (mtok).

    What settled another debt is spent; what is held, expired or was taken back is not. Added up from those few, and not
    from the captures, of which there may be millions. Under the locks of all accounts that have its lots.
    """
    in_lots = Lot.objects.filter(grant=grant).aggregate(mtok=Sum("posted_mtok"))["mtok"] or 0
    taken_back = Q(account__kind=AccountKind.REFUNDED) & ~BY_DEBT
    ended = Entry.objects.filter(Q(account__kind=AccountKind.EXPIRED) | taken_back)
    unspent = ended.filter(grant=grant).aggregate(mtok=Sum("amount_mtok"))["mtok"] or 0
    owed = Debt.objects.filter(grant=grant, voided_at=None).aggregate(mtok=Sum("owed_mtok"))["mtok"] or 0
    return max(0, grant.amount_mtok - int(in_lots) - int(unspent) - int(owed))


def owe(*, grant: Grant, cause: DebtCause, reference: str, mtok: int, actor: Actor, now: datetime) -> Debt:
    """Write down that so much of a grant was spent and paid back; under the wallet's lock.

    One debt for each reference: what is owed for it later is added to it, and one that was voided is owed anew.
    """
    debt = Debt.objects.filter(organization_id=grant.organization_id, reference=reference).first()
    if debt is None:
        debt = Debt(organization_id=grant.organization_id, created_at=now, cause=cause, reference=reference)
    if debt.voided_at is not None:
        debt.owed_mtok = debt.dropped_mtok = 0
    debt.grant, debt.voided_at = grant, None
    debt.owed_mtok = (debt.owed_mtok or 0) + mtok
    debt.save()
    audit.record(
        organization_id=grant.organization_id,
        actor=actor,
        action="debt.incurred",
        target_kind="debt",
        target_id=debt.id,
        after={"mtok": mtok, "cause": cause, "reference": reference},
        now=now,
    )
    raise_alert(
        organization_id=grant.organization_id,
        rule=AlertRule.DEBT_INCURRED,
        subject_kind="organization",
        subject_id=grant.organization_id,
        level=None,
        period=reference,
        facts={"tokens_mtok": mtok, "cause": cause},
        now=now,
    )
    return debt


def settle_from(*, grant: Grant, wallet: Account, refunded: Account, actor: object, now: datetime) -> int:
    """Settle what is owed from a new grant, the oldest debt first, and return how much that took (mtok).

    For `issue_grant`, in its transaction, so that nothing of the grant can be spent before. Both accounts are locked.
    """
    pot = pots_of([wallet], now, grant_ids=[grant.id])[wallet.id]
    return _settle(pot, refunded, actor, now)


def settle_from_wallet(*, organization_id: uuid.UUID, actor: Actor, now: datetime) -> int:
    """Settle what is owed from unspent purchases that lie in the wallet; return how much that took (mtok).

    Needs the organization's scope; locks the wallet and the refunded account. Raises DebtUnknown when nothing is owed,
    InsufficientTokens when the wallet has nothing that was bought.
    """
    with transaction.atomic():
        wallet, refunded = _lock_ends(organization_id)
        if not owed_mtok(organization_id):
            raise DebtUnknown("Nothing is owed.")
        bought = Grant.objects.filter(organization_id=organization_id, source__in=SETTLING)
        grant_ids = bought.filter(lots__account=wallet, lots__spent=False).values_list("id", flat=True)
        settled = _settle(pots_of([wallet], now, grant_ids=grant_ids)[wallet.id], refunded, actor.name or actor, now)
        if not settled:
            raise InsufficientTokens(0)
        audit.record(
            organization_id=organization_id,
            actor=actor,
            action="debt.settled",
            target_kind="organization",
            target_id=organization_id,
            after={"mtok": settled, "left_mtok": owed_mtok(organization_id)},
            now=now,
        )
    return settled


def forgive(
    *, organization_id: uuid.UUID, reason: str, actor: Actor, now: datetime, debt_id: uuid.UUID | None = None
) -> int:
    """Ask for a debt (None: for all debts) no longer, and return how much was left of it (mtok).

    Needs the organization's scope; locks the wallet. Raises ReasonMissing, and DebtUnknown when nothing is owed.
    """
    if not reason.strip():
        raise ReasonMissing("A debt is forgiven for a reason.")
    with transaction.atomic():
        _lock_ends(organization_id)
        found = Debt.objects.filter(organization_id=organization_id, outstanding=True)
        if debt_id is not None:
            found = found.filter(id=debt_id)
        forgiven = list(found.order_by("id"))
        if not forgiven:
            raise DebtUnknown("There is no such debt, or nothing is left of it.")
        for debt in forgiven:
            Debt.objects.filter(id=debt.id).update(dropped_mtok=F("owed_mtok") - F("settled_mtok"))
            audit.record(
                organization_id=organization_id,
                actor=actor,
                action="debt.forgiven",
                target_kind="debt",
                target_id=debt.id,
                after={"mtok": debt.left_mtok, "reference": debt.reference},
                reason=reason,
                now=now,
            )
    return sum(debt.left_mtok for debt in forgiven)


def void(*, debt: Debt, wallet: Account, refunded: Account, actor: Actor, now: datetime) -> int:
    """Undo a debt whose cause came to nothing; what was settled of it goes back to the wallet, and is returned (mtok).

    Safe to repeat. Both accounts are locked.
    """
    debt.refresh_from_db()
    if debt.voided_at is not None:
        return 0
    back = give_back(reference=f"debt:{debt.id}", wallet=wallet, refunded=refunded, actor=actor, now=now)
    Debt.objects.filter(id=debt.id).update(settled_mtok=0, dropped_mtok=F("owed_mtok"), voided_at=now)
    audit.record(
        organization_id=debt.organization_id,
        actor=actor,
        action="debt.voided",
        target_kind="debt",
        target_id=debt.id,
        after={"mtok": debt.owed_mtok, "returned_mtok": back, "reference": debt.reference},
        now=now,
    )
    return back


def give_back(*, reference: str, wallet: Account, refunded: Account, actor: Actor, now: datetime) -> int:
    """Put into the wallet all that transfers with this reference took out and that is not back yet (mtok).

    With grant and expiry as they were. To the wallet and not where it lay, since that may be closed or full. Both
    accounts are locked.
    """
    taken = Transfer.objects.filter(
        organization_id=wallet.organization_id,
        reference=reference,
        kind__in=[TransferKind.REVERSAL, TransferKind.SETTLEMENT],
    )
    left: dict[uuid.UUID, int] = {}
    grants: dict[uuid.UUID, Grant] = {}
    first: dict[uuid.UUID, Transfer] = {}
    for entry in Entry.objects.filter(transfer__in=taken, account=refunded).select_related("grant", "transfer"):
        left[entry.grant_id] = left.get(entry.grant_id, 0) + entry.amount_mtok
        grants[entry.grant_id] = entry.grant
        first.setdefault(entry.grant_id, entry.transfer)
    drafts = [
        Draft(
            TransferKind.REVERSAL,
            [Leg(refunded, grants[grant_id], -mtok), Leg(wallet, grants[grant_id], mtok)],
            reference=reference,
            reverses=first[grant_id],
        )
        for grant_id, mtok in left.items()
        if mtok
    ]
    post_all(drafts, now=now, actor=actor.name or actor)
    return sum(draft.mtok for draft in drafts)


def _settle(pot: Pot, refunded: Account, actor: object, now: datetime) -> int:
    drafts: list[Draft] = []
    settled: list[tuple[Debt, int]] = []
    debts = Debt.objects.filter(organization_id=refunded.organization_id, outstanding=True)
    for debt in sorted(debts, key=lambda debt: debt.id):
        mtok = min(debt.left_mtok, pot.free_mtok)
        if mtok:
            legs = legs_between(pot.account, refunded, pot.take(mtok))
            drafts.append(Draft(TransferKind.SETTLEMENT, legs, reference=f"debt:{debt.id}"))
            settled.append((debt, mtok))
    post_all(drafts, now=now, actor=actor)
    for debt, mtok in settled:
        Debt.objects.filter(id=debt.id).update(settled_mtok=F("settled_mtok") + mtok)
    return sum(mtok for _, mtok in settled)


def _lock_ends(organization_id: uuid.UUID) -> tuple[Account, Account]:
    """Lock the wallet and the refunded account. Raises AccountUnknown."""
    ids = dict(
        Account.objects.filter(
            organization_id=organization_id, kind__in=[AccountKind.ORG_WALLET, AccountKind.REFUNDED]
        ).values_list("kind", "id")
    )
    if len(ids) < 2:
        raise AccountUnknown("There is no such wallet.")
    accounts = lock_accounts(ids.values())
    return accounts[ids[AccountKind.ORG_WALLET]], accounts[ids[AccountKind.REFUNDED]]
