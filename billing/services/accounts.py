"""Opening, closing and limiting accounts. All run in the scope of the caller's transaction unless told otherwise."""

from __future__ import annotations

import uuid
from datetime import datetime

from django.db import transaction
from django.db.models import F
from django.utils import timezone

from billing.enums import SYSTEM_KINDS, AccountKind, AccountMode
from billing.errors import AccountUnknown, CapBelowDrawn
from billing.models import Account
from billing.queries.plans import find_plan
from billing.services.locks import lock_accounts
from billing.services.subscriptions import begin_subscription
from tenants.scope import organization_scope


def open_wallet(organization_id: uuid.UUID, *, plan: str | None = None, now: datetime | None = None) -> Account:
    """Return an organization's wallet; the first time, open it and the system's accounts behind it.

    With a wallet comes a plan: the one of this key, or the initial one. Opens its own scope. Safe to repeat and race.
    """
    with organization_scope(organization_id):
        Account.objects.bulk_create(
            [Account(organization_id=organization_id, kind=kind) for kind in (AccountKind.ORG_WALLET, *SYSTEM_KINDS)],
            ignore_conflicts=True,
        )
        begin_subscription(
            organization_id=organization_id, plan=find_plan(plan) if plan else None, now=now or timezone.now()
        )
        return Account.objects.get(organization_id=organization_id, kind=AccountKind.ORG_WALLET)


def open_account(
    *,
    kind: AccountKind,
    parent_id: uuid.UUID,
    mode: AccountMode = AccountMode.RING_FENCED,
    cap_mtok: int | None = None,
    team_id: uuid.UUID | None = None,
    label: str = "",
    expires_at: datetime | None = None,
) -> Account:
    """Open a team pool or a sub-token's account below another account.

    Ring-fenced, it starts empty and lives on what is allocated to it. Capped, it draws on its parent, up to `cap_mtok`
    in all (None: as far as the parent goes). Raises AccountUnknown if there is no such parent in scope.
    """
    parent = Account.objects.filter(id=parent_id).exclude(kind__in=SYSTEM_KINDS).first()
    if parent is None:
        raise AccountUnknown("There is no such account to open another one below.")
    return Account.objects.create(
        organization_id=parent.organization_id,
        kind=kind,
        mode=mode,
        parent=parent,
        cap_mtok=cap_mtok,
        team_id=team_id,
        label=label,
        expires_at=expires_at,
    )


def close_account(*, account_id: uuid.UUID, now: datetime) -> None:
    """Let an account take and hold nothing any more. What is held already can still be captured or released.

    Locks the account. To reclaim its Tokens in the same transaction, reclaim first: that locks both ends in order.
    """
    with transaction.atomic():
        account = lock_accounts([account_id])[account_id]
        if account.closed_at is None:
            Account.objects.filter(id=account_id).update(closed_at=now, revision=F("revision") + 1)


def change_expiry(*, account_id: uuid.UUID, expires_at: datetime | None) -> None:
    """Set the time after which an account holds nothing new (None: never). Locks the account."""
    with transaction.atomic():
        lock_accounts([account_id])
        Account.objects.filter(id=account_id).update(expires_at=expires_at)


def change_cap(*, account_id: uuid.UUID, cap_mtok: int | None) -> None:
    """Set what a capped account may draw in all, counting what it has drawn so far (None: no cap of its own).

    Locks the account. Raises CapBelowDrawn if more was drawn already, AccountUnknown if the account is not capped.
    """
    with transaction.atomic():
        account = lock_accounts([account_id])[account_id]
        if account.mode != AccountMode.CAPPED:
            raise AccountUnknown("This account has Tokens of its own and no cap.")
        if cap_mtok is not None and cap_mtok < account.drawn_mtok:
            raise CapBelowDrawn(account.drawn_mtok)
        Account.objects.filter(id=account_id).update(cap_mtok=cap_mtok, revision=F("revision") + 1)
