"""Granting Tokens to an organization, and refunding what was bought and not spent."""

from __future__ import annotations

import uuid
from datetime import datetime

from billing.enums import AccountKind, GrantSource, TransferKind
from billing.errors import AccountUnknown, AmountInvalid, ReasonMissing
from billing.models import Account, Grant
from billing.services.debts import SETTLING, settle_from
from billing.services.locks import lock_accounts
from billing.services.transfers import Leg, find_earlier, post
from billing.services.withdrawals import Withdrawal, withdraw
from tenants.actors import Actor
from tenants.scope import organization_scope
from tenants.services import audit


def issue_grant(
    *,
    organization_id: uuid.UUID,
    tokens_mtok: int,
    source: GrantSource,
    idempotency_key: str,
    now: datetime,
    expires_at: datetime | None = None,
    priority: int = 50,
    reason: str = "",
    reference: str = "",
    actor: object = None,
) -> Grant:
    """Credit an organization's wallet once per idempotency key, and return the grant.

    Grants of lower `priority` burn first, then those that expire earlier. What was paid for settles first what the
    organization owes, so that less of it may be left. Opens its own scope; locks the wallet, the issued and the
    refunded account. Raises AmountInvalid, AccountUnknown (no wallet was opened), IdempotencyMismatch.
    """
    if tokens_mtok <= 0:
        raise AmountInvalid("A grant is worth at least a thousandth of a Token.")
    with organization_scope(organization_id):
        ids = dict(
            Account.objects.filter(
                organization_id=organization_id,
                kind__in=[AccountKind.ORG_WALLET, AccountKind.ISSUED, AccountKind.REFUNDED],
            ).values_list("kind", "id")
        )
        if not ids:
            raise AccountUnknown("This organization has no wallet yet.")
        accounts = lock_accounts(ids.values())
        wallet, issued = accounts[ids[AccountKind.ORG_WALLET]], accounts[ids[AccountKind.ISSUED]]
        earlier = find_earlier(
            organization_id=organization_id,
            idempotency_key=idempotency_key,
            kind=TransferKind.GRANT,
            moved={wallet.id: tokens_mtok},
        )
        if earlier:
            return Grant.objects.get(entries__transfer=earlier, entries__account=wallet)
        grant = Grant.objects.create(
            organization_id=organization_id,
            created_at=now,
            source=source,
            amount_mtok=tokens_mtok,
            priority=priority,
            expires_at=expires_at,
            reason=reason,
            reference=reference,
            actor=str(actor or ""),
        )
        post(
            kind=TransferKind.GRANT,
            legs=[Leg(issued, grant, -tokens_mtok), Leg(wallet, grant, tokens_mtok)],
            now=now,
            idempotency_key=idempotency_key,
            reference=reference,
            reason=reason,
            actor=actor,
        )
        if source in SETTLING:
            settle_from(grant=grant, wallet=wallet, refunded=accounts[ids[AccountKind.REFUNDED]], actor=actor, now=now)
        return grant


def give_tokens(
    *,
    organization_id: uuid.UUID,
    tokens_mtok: int,
    source: GrantSource = GrantSource.MANUAL,
    expires_at: datetime | None = None,
    priority: int = 50,
    reason: str,
    actor: Actor,
    idempotency_key: str,
    now: datetime,
) -> Grant:
    """Credit Tokens by hand, as staff do: with a reason, and an audit event beside the transfer.

    Opens its own scope; locks and raises as `issue_grant`, and ReasonMissing. A repeated key does nothing again.
    """
    if not reason.strip():
        raise ReasonMissing("Tokens are given by hand for a reason.")
    with organization_scope(organization_id):
        grant = issue_grant(
            organization_id=organization_id,
            tokens_mtok=tokens_mtok,
            source=source,
            expires_at=expires_at,
            priority=priority,
            reason=reason,
            actor=actor.name or actor,
            idempotency_key=idempotency_key,
            now=now,
        )
        # What repeats an earlier call gets that one's grant, of an earlier time, and has done nothing.
        if grant.created_at == now:
            audit.record(
                organization_id=organization_id,
                actor=actor,
                action="grant.issued",
                target_kind="grant",
                target_id=grant.id,
                after={"mtok": tokens_mtok, "source": source, "expires_at": grant.expires_at},
                reason=reason,
                now=now,
            )
    return grant


def refund_unspent(
    *,
    organization_id: uuid.UUID,
    reason: str,
    idempotency_key: str,
    now: datetime,
    mtok: int | None = None,
    grant_id: uuid.UUID | None = None,
    reference: str = "",
    actor: Actor,
) -> Withdrawal:
    """Take unspent Tokens of purchases out (`mtok`, or all) to be paid back, the oldest purchase first.

    With `grant_id`, of that purchase alone. Tokens of trials, promotions, plans and gifts are never refunded, though
    they may have burned before or after: what a purchase has left is what its lots have left. Returns how much that
    was, which may be less than `mtok`. Opens its own scope; locks and raises as `withdraw`, and ReasonMissing.
    """
    if not reason.strip():
        raise ReasonMissing("A refund needs a reason.")
    with organization_scope(organization_id):
        purchases = Grant.objects.filter(organization_id=organization_id, source=GrantSource.PURCHASE)
        if grant_id is not None:
            purchases = purchases.filter(id=grant_id)
        withdrawal = withdraw(
            organization_id=organization_id,
            grants=list(purchases.order_by("created_at", "id")),
            mtok=mtok,
            reason=reason,
            reference=reference,
            idempotency_key=idempotency_key,
            actor=actor,
            now=now,
        )
        if withdrawal.mtok and not withdrawal.repeated:
            audit.record(
                organization_id=organization_id,
                actor=actor,
                action="grant.refunded",
                target_kind="organization",
                target_id=organization_id,
                after={"mtok": -withdrawal.mtok, "reference": reference},
                reason=reason,
                now=now,
            )
    return withdrawal
