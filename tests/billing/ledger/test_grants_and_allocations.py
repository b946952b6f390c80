"""Granting Tokens, splitting them over accounts, and taking them back: exact, nested, once per key."""

from __future__ import annotations

from datetime import timedelta

import pytest

from billing import errors
from billing.enums import GrantSource
from billing.models import Account, Entry, Grant, Lot, Transfer
from billing.services import accounts, allocations, grants
from tenants.models import Organization
from tenants.scope import organization_scope, platform_scope
from tests.factories.billing import (
    NOW,
    assert_ledger_clean,
    balance_of,
    make_account,
    make_capped_account,
    make_grant,
    make_hold,
    make_wallet,
)

pytestmark = pytest.mark.django_db


@pytest.fixture
def wallet(alpha: Organization) -> Account:
    return make_wallet(alpha, 10_000)


def allocate(parent: Account, child: Account, mtok: int, key: str = "allocate-1") -> Transfer:
    with organization_scope(parent.organization_id):
        return allocations.allocate(
            from_account_id=parent.id, to_account_id=child.id, mtok=mtok, idempotency_key=key, now=NOW
        )


def reclaim(account: Account, mtok: int | None = None, key: str = "reclaim-1") -> int:
    """Reclaim, and return how much came back."""
    with organization_scope(account.organization_id):
        transfer = allocations.reclaim(account_id=account.id, mtok=mtok, idempotency_key=key, now=NOW)
        return transfer.amount_mtok if transfer else 0


def count_transfers() -> int:
    with platform_scope("test"):
        return Transfer.objects.count()


def test_a_wallet_opens_once(alpha: Organization) -> None:
    first, again = accounts.open_wallet(alpha.id), accounts.open_wallet(alpha.id)
    assert first == again
    with organization_scope(alpha.id):
        assert Account.objects.count() == 5


def test_a_grant_is_issued_into_the_wallet(alpha: Organization) -> None:
    wallet = make_wallet(alpha)
    grant = grants.issue_grant(
        organization_id=alpha.id, tokens_mtok=10_000, source=GrantSource.TRIAL, reason="Welcome", actor="ops@example",
        expires_at=NOW + timedelta(days=30), idempotency_key="trial", now=NOW,
    )  # fmt: skip
    with organization_scope(alpha.id):
        legs = dict(Entry.objects.values_list("account__kind", "amount_mtok"))
        lot = Lot.objects.get(account=wallet)
    assert legs == {"issued": -10_000, "org_wallet": 10_000}
    assert (lot.grant_id, lot.posted_mtok, lot.expires_at) == (grant.id, 10_000, NOW + timedelta(days=30))
    assert (grant.actor, grant.reason) == ("ops@example", "Welcome")
    assert_ledger_clean()


def test_a_grant_is_credited_once_per_key(alpha: Organization) -> None:
    wallet = make_wallet(alpha)
    again = {
        grants.issue_grant(
            organization_id=alpha.id, tokens_mtok=500, source=GrantSource.PURCHASE, idempotency_key="topup-1", now=NOW
        ).id
        for _ in range(3)
    }
    assert len(again) == 1
    with pytest.raises(errors.IdempotencyMismatch):
        grants.issue_grant(
            organization_id=alpha.id, tokens_mtok=501, source=GrantSource.PURCHASE, idempotency_key="topup-1", now=NOW
        )
    assert balance_of(wallet).posted_mtok == 500
    with organization_scope(alpha.id):
        assert Grant.objects.count() == 1


def test_a_grant_needs_a_wallet_and_an_amount(alpha: Organization) -> None:
    kwargs = {"organization_id": alpha.id, "source": GrantSource.MANUAL, "idempotency_key": "x", "now": NOW}
    with pytest.raises(errors.AccountUnknown):
        grants.issue_grant(tokens_mtok=1, **kwargs)
    with pytest.raises(errors.AmountInvalid):
        grants.issue_grant(tokens_mtok=0, **kwargs)


def test_a_package_split_in_three_spends_what_it_was_and_not_a_thousandth_more(wallet: Account) -> None:
    parts = [make_account(wallet, mtok) for mtok in (3_333, 3_333, 3_334)]
    for part, mtok in zip(parts, (3_333, 3_333, 3_334), strict=True):
        make_hold(part, mtok)
        with pytest.raises(errors.InsufficientTokens):
            make_hold(part, 1)
    with pytest.raises(errors.InsufficientTokens):
        make_hold(wallet, 1)
    assert_ledger_clean()


def test_allocated_tokens_keep_their_grant_and_expiry(alpha: Organization) -> None:
    wallet = make_wallet(alpha)
    soon = make_grant(alpha, 100, expires_at=NOW + timedelta(days=1))
    forever = make_grant(alpha, 900)
    account = make_account(wallet, 250)
    with organization_scope(alpha.id):
        lots = set(Lot.objects.filter(account=account).values_list("grant_id", "posted_mtok", "expires_at"))
    assert lots == {(soon.id, 100, NOW + timedelta(days=1)), (forever.id, 150, None)}
    assert reclaim(account) == 250
    with organization_scope(alpha.id):
        back = dict(Lot.objects.filter(account=wallet).values_list("grant_id", "posted_mtok"))
    assert back == {soon.id: 100, forever.id: 900}
    assert_ledger_clean()


def test_held_and_expired_tokens_cannot_be_allocated_or_reclaimed(alpha: Organization) -> None:
    wallet = make_wallet(alpha, 1_000)
    make_grant(alpha, 5_000, expires_at=NOW)
    account = make_account(wallet, 600)
    make_hold(account, 450)
    make_hold(wallet, 150)
    with pytest.raises(errors.InsufficientTokens) as refused:
        allocate(wallet, account, 251)
    assert refused.value.available_mtok == 250
    with pytest.raises(errors.InsufficientTokens):
        reclaim(account, 151)
    assert reclaim(account) == 150
    assert_ledger_clean()


def test_allocating_happens_once_per_key(wallet: Account) -> None:
    account = make_account(wallet)
    assert allocate(wallet, account, 400).id == allocate(wallet, account, 400).id
    with pytest.raises(errors.IdempotencyMismatch):
        allocate(wallet, account, 500)
    assert balance_of(account).posted_mtok == 400


def test_reclaiming_all_happens_once_per_key(wallet: Account) -> None:
    account = make_account(wallet, 400)
    assert reclaim(account) == 400
    allocate(wallet, account, 50)
    assert reclaim(account) == 400
    assert balance_of(account).posted_mtok == 50


def test_a_key_used_by_another_kind_of_transfer_is_a_mismatch(wallet: Account) -> None:
    account = make_account(wallet)
    allocate(wallet, account, 400, key="same")
    with pytest.raises(errors.IdempotencyMismatch):
        reclaim(account, 400, key="same")
    assert balance_of(account).posted_mtok == 400


def test_reclaiming_from_an_empty_account_moves_nothing(wallet: Account) -> None:
    account = make_account(wallet)
    before = count_transfers()
    assert reclaim(account) == 0
    with pytest.raises(errors.InsufficientTokens):
        reclaim(account, 1)
    assert count_transfers() == before


def test_a_closed_account_takes_nothing_and_gives_all_back(wallet: Account) -> None:
    account = make_account(wallet, 400)
    with organization_scope(wallet.organization_id):
        accounts.close_account(account_id=account.id, now=NOW)
    with pytest.raises(errors.AccountClosed):
        allocate(wallet, account, 1)
    assert reclaim(account) == 400
    assert balance_of(wallet).available_mtok == 10_000


def test_tokens_move_one_step_down_only(wallet: Account) -> None:
    pool = make_account(wallet, 1_000, kind="team_pool")
    below = make_account(pool)
    for parent, child in [(wallet, below), (below, pool), (pool, wallet), (pool, pool)]:
        with pytest.raises(errors.NotNested):
            allocate(parent, child, 1)
    with pytest.raises(errors.NotNested):
        allocate(wallet, make_capped_account(wallet, 5), 1)
    with pytest.raises(errors.NotNested):
        reclaim(wallet)


def test_another_organizations_account_is_unknown(wallet: Account, beta: Organization) -> None:
    account, other = make_account(wallet, 100), make_wallet(beta, 1_000)
    with organization_scope(beta.id), pytest.raises(errors.AccountUnknown):
        allocations.allocate(
            from_account_id=other.id, to_account_id=account.id, mtok=1, idempotency_key="x", now=NOW
        )  # fmt: skip
    with organization_scope(beta.id), pytest.raises(errors.AccountUnknown):
        allocations.reclaim(account_id=account.id, idempotency_key="x", now=NOW)
    assert balance_of(account).posted_mtok == 100


def test_allocating_out_of_a_capped_pool_draws_on_its_cap(wallet: Account) -> None:
    team = make_capped_account(wallet, 1_000, kind="team_pool")
    fenced, capped = make_account(team, 600), make_capped_account(team, None)
    assert balance_of(team).drawn_mtok == 600
    with pytest.raises(errors.QuotaExceeded):
        make_hold(capped, 401)
    with pytest.raises(errors.QuotaExceeded) as refused:
        allocate(team, fenced, 401)
    assert refused.value.available_mtok == 400
    make_hold(fenced, 100)
    assert reclaim(fenced) == 500
    assert [balance_of(a).drawn_mtok for a in (team, capped)] == [100, 0]
    assert balance_of(wallet).available_mtok == 9_900
    make_hold(capped, 900)
    assert_ledger_clean()


def test_a_cap_cannot_go_below_what_was_drawn(wallet: Account) -> None:
    capped = make_capped_account(wallet, 1_000)
    make_hold(capped, 700)
    with organization_scope(wallet.organization_id):
        with pytest.raises(errors.CapBelowDrawn) as refused:
            accounts.change_cap(account_id=capped.id, cap_mtok=699)
        accounts.change_cap(account_id=capped.id, cap_mtok=700)
        with pytest.raises(errors.AccountUnknown):
            accounts.change_cap(account_id=wallet.id, cap_mtok=1)
    assert refused.value.drawn_mtok == 700
    assert balance_of(capped).available_mtok == 0
