"""Granting Tokens to an organization."""

from __future__ import annotations

import uuid
from datetime import datetime

from billing.enums import AccountKind, GrantSource, TransferKind
from billing.errors import AccountUnknown, AmountInvalid
from billing.models import Account, Grant
from billing.services.locks import lock_accounts
from billing.services.transfers import Leg, find_earlier, post
from tenants.scope import organization_scope


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

    Grants of lower `priority` burn first, then those that expire earlier. Opens its own scope; locks the wallet and the
    issued account. Raises AmountInvalid, AccountUnknown (no wallet was opened), IdempotencyMismatch.
    """
    if tokens_mtok <= 0:
        raise AmountInvalid("A grant is worth at least a thousandth of a Token.")
    with organization_scope(organization_id):
        ids = dict(
            Account.objects.filter(
                organization_id=organization_id, kind__in=[AccountKind.ORG_WALLET, AccountKind.ISSUED]
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
        return grant
