"""Taking unspent Tokens of grants out of an organization: what corrections and refunds have in common."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from django.db.models import F, Q

from billing.enums import AccountKind, TransferKind
from billing.errors import AmountInvalid, IdempotencyMismatch
from billing.models import Account, Entry, Grant, Lot, Transfer
from billing.queries.hanging import capped_between, depth, places_above
from billing.services.locks import lock_whatever
from billing.services.pots import legs_between, pots_of
from billing.services.transfers import Draft, post_all


@dataclass(frozen=True)
class Withdrawal:
    """How much was taken out (mtok), by these reversals; `repeated` when an earlier call with the key had done it."""

    mtok: int
    transfers: list[Transfer]
    repeated: bool = False


def withdraw(
    *,
    organization_id: uuid.UUID,
    grants: Sequence[Grant],
    mtok: int | None,
    reason: str,
    reference: str,
    idempotency_key: str,
    actor: object,
    now: datetime,
    forced: bool = False,
) -> Withdrawal:
    """Move unspent Tokens of these grants, in their order, to the refunded account: `mtok` of them, or all there are.

    Only as far as they go: what is spent, held, frozen or expired stays as it is, so it may be less than `mtok`. It is
    `forced` for what was paid back already: then frozen and expired Tokens go too. Of each grant,
    what nobody was given yet goes first (the wallet's), then that of team pools, then that of the accounts deepest
    below. One reversal for each grant and account; it gives room back to the caps that its Tokens were drawn through.
    Needs the organization's scope; locks every account that has such Tokens, and those above them. Raises
    AmountInvalid, IdempotencyMismatch.
    """
    if mtok is not None and mtok <= 0:
        raise AmountInvalid("At least a thousandth of a Token must be taken out.")
    wallet_id, sink_id = _ends(organization_id)
    grant_ids = [grant.id for grant in grants]

    def involved() -> set[uuid.UUID]:
        free = Lot.objects.filter(grant_id__in=grant_ids, spent=False, posted_mtok__gt=F("held_mtok"))
        if not forced:
            free = free.filter(Q(expires_at__isnull=True) | Q(expires_at__gt=now), frozen=False)
        return {wallet_id, sink_id, *places_above(free.values_list("account_id", flat=True))}

    accounts = lock_whatever(involved)
    earlier = _find_earlier(organization_id, idempotency_key, grant_ids, mtok)
    if earlier:
        return earlier
    places = places_above(accounts)
    sink = accounts.pop(sink_id)
    order = sorted(accounts, key=lambda account_id: (depth(places, account_id), account_id))
    issues = _issues(grant_ids)
    drafts: list[Draft] = []
    missing = mtok
    for grant in grants:
        pots = pots_of(accounts.values(), now, grant_ids=[grant.id], forced=forced)
        for account_id in order:
            free = pots[account_id].free_mtok
            taken = free if missing is None else min(missing, free)
            if not taken:
                continue
            drafts.append(
                Draft(
                    TransferKind.REVERSAL,
                    legs_between(accounts[account_id], sink, pots[account_id].take(taken)),
                    path=capped_between(places, account_id, wallet_id),
                    idempotency_key=f"{idempotency_key}#{len(drafts)}" if drafts else idempotency_key,
                    reference=reference,
                    reason=reason,
                    reverses=issues[grant.id],
                )
            )
            if missing is not None:
                missing -= taken
    transfers = post_all(drafts, now=now, actor=actor)
    return Withdrawal(sum(draft.mtok for draft in drafts), transfers)


def _find_earlier(
    organization_id: uuid.UUID, idempotency_key: str, grant_ids: list[uuid.UUID], mtok: int | None
) -> Withdrawal | None:
    of_organization = Transfer.objects.filter(organization_id=organization_id)
    first = of_organization.filter(idempotency_key=idempotency_key).first()
    if first is None:
        return None
    rest = of_organization.filter(idempotency_key__startswith=f"{idempotency_key}#").order_by("id")
    transfers = [first, *rest]
    entries = Entry.objects.filter(transfer__in=transfers, amount_mtok__gt=0)
    taken = sum(entry.amount_mtok for entry in entries)
    same = {entry.grant_id for entry in entries} <= set(grant_ids) and (mtok is None or taken <= mtok)
    if first.kind != TransferKind.REVERSAL or not same:
        raise IdempotencyMismatch(f"The idempotency key {idempotency_key!r} was used before, for something else.")
    return Withdrawal(taken, transfers, repeated=True)


def _ends(organization_id: uuid.UUID) -> tuple[uuid.UUID, uuid.UUID]:
    ends = dict(
        Account.objects.filter(
            organization_id=organization_id, kind__in=[AccountKind.ORG_WALLET, AccountKind.REFUNDED]
        ).values_list("kind", "id")
    )
    return ends[AccountKind.ORG_WALLET], ends[AccountKind.REFUNDED]


def _issues(grant_ids: list[uuid.UUID]) -> dict[uuid.UUID, Transfer]:
    # By the issued account, which has no other entries: grants have no index of their own among all entries.
    issued = Entry.objects.filter(account__kind=AccountKind.ISSUED, grant_id__in=grant_ids)
    return {entry.grant_id: entry.transfer for entry in issued.select_related("transfer")}
