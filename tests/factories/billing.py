"""Wallets, accounts and grants for tests. Each function writes rows, through the services, and returns them."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime, timedelta
from itertools import count

from billing.enums import AccountKind, AccountMode, GrantSource
from billing.models import Account, Grant
from billing.queries.balances import Balance, balance
from billing.services import accounts, allocations, grants, holds
from billing.services.verify import verify_ledger
from tenants.models import Organization
from tenants.scope import organization_scope

NOW = datetime(2026, 11, 21, 8, 0, tzinfo=UTC)
_numbers = count(1)


def make_wallet(organization: Organization, mtok: int = 0, *, now: datetime = NOW) -> Account:
    """Open the organization's wallet, on the highest plan, with one grant of `mtok` in it if that is more than 0."""
    wallet = accounts.open_wallet(organization.id, plan="enterprise", now=now)
    if mtok:
        make_grant(organization, mtok, now=now)
    return wallet


def make_grant(
    organization: Organization,
    mtok: int,
    *,
    priority: int = 50,
    expires_at: datetime | None = None,
    now: datetime = NOW,
) -> Grant:
    """Credit the organization's wallet."""
    return grants.issue_grant(
        organization_id=organization.id,
        tokens_mtok=mtok,
        source=GrantSource.PURCHASE,
        priority=priority,
        expires_at=expires_at,
        idempotency_key=f"grant-{next(_numbers)}",
        now=now,
    )


def make_account(
    parent: Account, mtok: int = 0, *, kind: AccountKind = AccountKind.SUB_TOKEN, now: datetime = NOW
) -> Account:
    """Open a ring-fenced account below another, with `mtok` allocated to it."""
    with organization_scope(parent.organization_id):
        account = accounts.open_account(kind=kind, parent_id=parent.id, label=f"Account {next(_numbers)}")
        if mtok:
            allocations.allocate(
                from_account_id=parent.id,
                to_account_id=account.id,
                mtok=mtok,
                idempotency_key=f"allocation-{next(_numbers)}",
                now=now,
            )
    return account


def make_capped_account(parent: Account, cap_mtok: int | None, *, kind: AccountKind = AccountKind.SUB_TOKEN) -> Account:
    """Open an account that draws on another, up to a cap."""
    with organization_scope(parent.organization_id):
        return accounts.open_account(
            kind=kind, parent_id=parent.id, mode=AccountMode.CAPPED, cap_mtok=cap_mtok, label=f"Capped {next(_numbers)}"
        )


def make_hold(
    account: Account,
    mtok: int,
    *,
    key: str | None = None,
    owner_id: uuid.UUID | None = None,
    deadline: datetime | None = None,
    now: datetime = NOW,
) -> holds.PlacedHold:
    """Set Tokens of an account aside, for ten minutes unless told otherwise."""
    return holds.place_hold(
        organization_id=account.organization_id,
        account_id=account.id,
        amount_mtok=mtok,
        idempotency_key=key or f"hold-{next(_numbers)}",
        owner_id=owner_id or uuid.uuid4(),
        deadline=deadline or now + timedelta(minutes=10),
        now=now,
    )


def balance_of(account: Account, *, now: datetime = NOW) -> Balance:
    """Return what the account has."""
    with organization_scope(account.organization_id):
        return balance(account.id, now=now)


def assert_ledger_clean() -> None:
    """Fail unless every balance of every organization follows from the entries."""
    report = verify_ledger(now=NOW)
    assert report.passed, report.off
