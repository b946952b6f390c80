"""Expired grants leave the accounts, and never take with them what is held."""

from __future__ import annotations

from datetime import timedelta

import pytest

from billing.enums import TransferKind
from billing.models import Account, Entry, Transfer
from billing.queries.balances import organization_balance
from billing.services import holds
from billing.services.expiry import expire_grants
from tenants.identifiers import new_id
from tenants.models import Organization
from tenants.scope import organization_scope, platform_scope
from tests.factories.billing import (
    NOW,
    assert_ledger_clean,
    balance_of,
    make_account,
    make_grant,
    make_hold,
    make_wallet,
)

pytestmark = pytest.mark.django_db
BEFORE, LATER = NOW - timedelta(seconds=1), NOW + timedelta(seconds=1)


def test_what_is_left_of_an_expired_grant_goes_from_every_account(alpha: Organization, beta: Organization) -> None:
    wallet, other = make_wallet(alpha), make_wallet(beta)
    grant = make_grant(alpha, 1_000, expires_at=NOW, now=BEFORE)
    make_grant(alpha, 500, expires_at=LATER)
    make_grant(beta, 300, expires_at=NOW)
    pool = make_account(wallet, 400, now=BEFORE)

    assert expire_grants(now=BEFORE) == 0
    assert expire_grants(now=NOW) == 1_300
    assert expire_grants(now=NOW) == 0

    assert [balance_of(a).posted_mtok for a in (wallet, pool, other)] == [500, 0, 0]
    with organization_scope(alpha.id):
        (transfer,) = Transfer.objects.filter(kind=TransferKind.EXPIRY)
        legs = set(transfer.entries.values_list("account_id", "grant_id", "amount_mtok"))
        sink = Account.objects.get(kind="expired")
    assert legs == {(wallet.id, grant.id, -600), (pool.id, grant.id, -400), (sink.id, grant.id, 1_000)}
    assert_ledger_clean()


def test_a_hold_outlives_the_grant_it_took(alpha: Organization) -> None:
    wallet = make_wallet(alpha)
    make_grant(alpha, 1_000, expires_at=NOW, now=BEFORE)
    captured, released = make_hold(wallet, 300, now=BEFORE), make_hold(wallet, 200, now=BEFORE)
    assert expire_grants(now=NOW) == 500
    with platform_scope("test"):
        results = holds.capture_holds(captures=[holds.Capture(captured.hold_id, 250, new_id())], now=LATER)
        holds.release_holds(hold_ids=[released.hold_id], now=LATER)
    # Released, but expired: nobody can hold it again, and the next run takes it.
    assert results[captured.hold_id].available_mtok == 0
    assert balance_of(wallet, now=LATER).available_mtok == 0
    with organization_scope(alpha.id):
        assert organization_balance(alpha.id, now=LATER).grants == []
    assert_ledger_clean()
    assert expire_grants(now=LATER) == 250
    assert balance_of(wallet).posted_mtok == 0
    assert_ledger_clean()


def test_many_accounts_expire_in_several_transactions(alpha: Organization, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("billing.services.expiry.ACCOUNTS_AT_ONCE", 2)
    wallet = make_wallet(alpha)
    make_grant(alpha, 1_000, expires_at=NOW, now=BEFORE)
    for _ in range(4):
        make_account(wallet, 100, now=BEFORE)
    assert expire_grants(now=NOW) == 1_000
    with organization_scope(alpha.id):
        assert Transfer.objects.filter(kind=TransferKind.EXPIRY).count() == 3
        assert sum(Entry.objects.filter(account=wallet).values_list("amount_mtok", flat=True)) == 0
    assert_ledger_clean()
