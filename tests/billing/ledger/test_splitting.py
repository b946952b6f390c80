"""Moves sideways, whole subtrees reclaimed, shares rearranged: exact, all or nothing, with the expiry kept."""

from __future__ import annotations

import uuid
from datetime import timedelta

import pytest

from billing import errors
from billing.enums import AccountKind, TransferKind
from billing.models import Account, Lot, SubToken, Transfer
from billing.services import splitting
from billing.services.rearranging import preview, rearrange
from billing.services.splits import Share, amounts_of, split
from billing.services.subtrees import Ending, reclaim_all
from tenants.actors import user_actor
from tenants.models import AuditEvent, Organization
from tenants.scope import organization_scope
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
from tests.factories.tenants import make_team

pytestmark = pytest.mark.django_db
ACTOR = user_actor(uuid.uuid4(), "alice@alpha.example")
SOON = NOW + timedelta(days=3)


@pytest.fixture
def wallet(alpha: Organization) -> Account:
    return make_wallet(alpha, 10_000)


def make_pool(parent: Account, mtok: int | None, *, capped: bool = False) -> Account:
    """Open a pool of a new team below an account."""
    account = (
        make_capped_account(parent, mtok, kind=AccountKind.TEAM_POOL)
        if capped
        else make_account(parent, mtok or 0, kind=AccountKind.TEAM_POOL)
    )
    with organization_scope(parent.organization_id):
        Account.objects.filter(id=account.id).update(team_id=make_team(parent.organization).id)
        account.refresh_from_db()
    return account


def move(source: Account, target: Account, mtok: int | None = None) -> int:
    with organization_scope(source.organization_id):
        return splitting.move(from_id=source.id, to_id=target.id, mtok=mtok, actor=ACTOR, now=NOW)


def end(account: Account, *, revoke: bool = False) -> Ending:
    with organization_scope(account.organization_id):
        return reclaim_all(account_id=account.id, revoke=revoke, actor=ACTOR, now=NOW)


def free(*accounts: Account) -> list[int]:
    return [balance_of(account).available_mtok for account in accounts]


def cap_of(account: Account) -> int | None:
    with organization_scope(account.organization_id):
        return Account.objects.get(id=account.id).cap_mtok


class TestSideways:
    def test_tokens_move_with_their_grant_and_expiry_and_the_parent_is_not_asked(self, alpha: Organization) -> None:
        wallet = make_wallet(alpha)
        grant = make_grant(alpha, 500, expires_at=SOON)
        one, two = make_pool(wallet, 400), make_pool(wallet, 0)
        assert move(one, two, 150) == 150
        assert free(wallet, one, two) == [100, 250, 150]
        with organization_scope(alpha.id):
            lot = Lot.objects.get(account=two)
            transfer = Transfer.objects.get(kind=TransferKind.MOVE)
            assert {entry.account_id for entry in transfer.entries.all()} == {one.id, two.id}
        assert (lot.grant_id, lot.expires_at) == (grant.id, SOON)
        assert_ledger_clean()

    def test_all_that_is_free_moves_and_what_is_held_stays(self, wallet: Account) -> None:
        one, two = make_account(wallet, 400), make_account(wallet)
        with organization_scope(wallet.organization_id):
            for account in (one, two):
                SubToken.objects.create(
                    organization_id=wallet.organization_id, account=account, name="x", prefix="p", mode="allocated",
                    secret_hash=str(account.id), expires_at=SOON,
                )  # fmt: skip
        make_hold(one, 150)
        assert move(one, two) == 250
        assert move(one, two) == 0
        assert free(one, two) == [0, 250]
        with pytest.raises(errors.InsufficientTokens):
            move(one, two, 1)
        assert_ledger_clean()

    def test_below_a_capped_pool_what_it_has_drawn_stays(self, wallet: Account) -> None:
        team = make_pool(wallet, 1_000, capped=True)
        one, two = make_pool(team, 300), make_pool(team, 0)
        move(one, two, 120)
        assert balance_of(team).drawn_mtok == 300
        assert_ledger_clean()

    def test_ceilings_move_between_capped_ones(self, wallet: Account) -> None:
        one, two = make_pool(wallet, 500, capped=True), make_pool(wallet, 100, capped=True)
        make_hold(one, 120)
        with pytest.raises(errors.InsufficientTokens):
            move(one, two, 381)
        assert move(one, two) == 380
        assert (cap_of(one), cap_of(two)) == (120, 480)

    def test_only_siblings_of_one_mode(self, wallet: Account) -> None:
        pool = make_pool(wallet, 500)
        below = make_pool(pool, 100)
        capped = make_pool(wallet, 100, capped=True)
        for source, target in [(pool, below), (below, pool), (pool, capped), (capped, pool), (pool, pool)]:
            with pytest.raises(errors.NotNested):
                move(source, target, 10)
        with pytest.raises(errors.AccountUnknown):
            move(wallet, pool, 10)
        assert free(wallet, pool, below) == [9_500, 400, 100]

    def test_a_closed_account_gives_and_does_not_take(self, wallet: Account) -> None:
        one, two = make_pool(wallet, 500), make_pool(wallet, 0)
        with organization_scope(wallet.organization_id):
            Account.objects.filter(id=one.id).update(closed_at=NOW)
        assert move(one, two, 10) == 10
        with pytest.raises(errors.AccountClosed):
            move(two, one, 10)

    def test_it_is_written_down_for_both(self, wallet: Account) -> None:
        one, two = make_pool(wallet, 500), make_pool(wallet, 0)
        move(one, two, 10)
        with organization_scope(wallet.organization_id):
            events = AuditEvent.objects.filter(action="pool.moved").values_list("target_id", "after__mtok")
            assert set(events) == {(one.team_id, -10), (two.team_id, 10)}


class TestEndingAProject:
    def test_a_whole_subtree_goes_back_with_its_expiry_and_the_caps_get_their_room_back(
        self, alpha: Organization
    ) -> None:
        wallet = make_wallet(alpha, 5_000)
        soon = make_grant(alpha, 1_000, expires_at=SOON)
        outer = make_pool(wallet, 4_000, capped=True)
        inner = make_pool(outer, 2_000)  # 1,000 of the earlier expiry, 1,000 of the other
        deep = make_pool(inner, 1_500, capped=True)
        leaves = [make_account(deep, 600), make_account(inner, 200)]
        make_hold(leaves[0], 50)
        ending = end(outer)
        assert (ending.reclaimed_mtok, ending.accounts, ending.held_mtok) == (1_950, 3, 50)
        assert free(wallet, inner, *leaves) == [5_950, 0, 0, 0]
        assert [balance_of(pool).drawn_mtok for pool in (outer, deep)] == [50, 50]
        assert (cap_of(outer), cap_of(deep)) == (50, 50)
        with organization_scope(alpha.id):
            assert Lot.objects.get(account=wallet, grant=soon).posted_mtok == 950
        assert_ledger_clean()
        assert end(outer).reclaimed_mtok == 0

    def test_below_a_ring_fenced_pool_it_goes_back_to_that_pool(self, wallet: Account) -> None:
        outer = make_pool(wallet, 1_000)
        inner = make_pool(outer, 600)
        leaf = make_account(inner, 250)
        assert end(inner).reclaimed_mtok == 600
        assert free(wallet, outer, inner, leaf) == [9_000, 1_000, 0, 0]
        assert_ledger_clean()

    def test_with_revoking_its_sub_tokens_end(self, wallet: Account) -> None:
        pool = make_pool(wallet, 1_000)
        with organization_scope(wallet.organization_id):
            issued = split(
                organization_id=wallet.organization_id, account_id=pool.id, actor=ACTOR, now=NOW,
                shares=[Share(f"Camera {n}", 100) for n in range(3)],
            )  # fmt: skip
        ending = end(pool, revoke=True)
        assert len(ending.revoked) == 3
        assert ending.reclaimed_mtok == 1_000
        with organization_scope(wallet.organization_id):
            assert not SubToken.objects.filter(revoked_at=None).exists()
            assert Account.objects.filter(closed_at=NOW).count() == 3
            event = AuditEvent.objects.get(action="pool.ended")
            assert (event.after["mtok"], len(event.after["revoked"])) == (1_000, 3)
        with pytest.raises(errors.AccountClosed):
            make_hold(issued[0].sub_token.account, 1)
        assert_ledger_clean()

    def test_the_wallet_hangs_below_nothing(self, wallet: Account) -> None:
        with pytest.raises(errors.NotNested):
            end(wallet)


class TestSplitting:
    def test_one_grant_into_three_is_the_grant_to_the_thousandth(self, alpha: Organization) -> None:
        wallet = make_wallet(alpha, 500)
        grant = make_grant(alpha, 10_000_000, priority=90, expires_at=SOON)
        amounts = amounts_of(3, total_mtok=10_000_000, weights=None, amounts_mtok=None)
        with organization_scope(alpha.id):
            issued = split(
                organization_id=alpha.id, account_id=wallet.id, grant_id=grant.id, actor=ACTOR, now=NOW,
                shares=[Share(f"Line {n}", mtok) for n, mtok in enumerate(amounts)],
            )  # fmt: skip
            lots = Lot.objects.filter(account__kind="sub_token")
            assert {(lot.grant_id, lot.expires_at) for lot in lots} == {(grant.id, SOON)}
        accounts = [one.sub_token.account for one in issued]
        assert free(*accounts) == [3_333_334, 3_333_333, 3_333_333]
        assert free(wallet) == [500]
        for account, mtok in zip(accounts, amounts, strict=True):
            make_hold(account, mtok)
            with pytest.raises(errors.InsufficientTokens):
                make_hold(account, 1)
        assert_ledger_clean()

    def test_without_a_grant_named_it_is_burn_order_over_all_of_them(self, alpha: Organization) -> None:
        wallet = make_wallet(alpha)
        late, soon = make_grant(alpha, 100), make_grant(alpha, 100, expires_at=SOON)
        with organization_scope(alpha.id):
            split(
                organization_id=alpha.id, account_id=wallet.id, actor=ACTOR, now=NOW,
                shares=[Share("First", 70), Share("Second", 70)],
            )  # fmt: skip
            found = Lot.objects.filter(account__kind="sub_token").values_list(
                "account__label", "grant_id", "posted_mtok"
            )
            assert set(found) == {("First", soon.id, 70), ("Second", soon.id, 30), ("Second", late.id, 40)}

    def test_all_or_nothing(self, wallet: Account) -> None:
        shares = [Share("A", 6_000), Share("B", 4_001)]
        with organization_scope(wallet.organization_id):
            with pytest.raises(errors.InsufficientTokens):
                split(organization_id=wallet.organization_id, account_id=wallet.id, shares=shares, actor=ACTOR, now=NOW)
            assert not SubToken.objects.exists()
            assert not Account.objects.filter(kind="sub_token").exists()
        assert free(wallet) == [10_000]

    def test_below_a_capped_pool_it_counts_against_the_cap(self, wallet: Account) -> None:
        pool = make_pool(wallet, 1_000, capped=True)
        with organization_scope(wallet.organization_id):
            with pytest.raises(errors.QuotaExceeded):
                split(
                    organization_id=wallet.organization_id, account_id=pool.id, actor=ACTOR, now=NOW,
                    shares=[Share("A", 600), Share("B", 401)],
                )  # fmt: skip
            issued = split(
                organization_id=wallet.organization_id, account_id=pool.id, actor=ACTOR, now=NOW,
                shares=[Share("A", 600), Share("B", 400)],
            )  # fmt: skip
        assert {one.sub_token.team_id for one in issued} == {pool.team_id}
        assert balance_of(pool).drawn_mtok == 1_000
        assert_ledger_clean()

    def test_a_thousand_in_one_act(self, alpha: Organization) -> None:
        wallet = make_wallet(alpha, 1_000_001)
        amounts = amounts_of(1_000, total_mtok=1_000_001, weights=None, amounts_mtok=None)
        with organization_scope(alpha.id):
            issued = split(
                organization_id=alpha.id, account_id=wallet.id, actor=ACTOR, now=NOW,
                shares=[Share(f"Camera {n}", mtok) for n, mtok in enumerate(amounts)],
            )  # fmt: skip
        assert len({one.secret for one in issued}) == 1_000
        assert free(wallet) == [0]
        assert_ledger_clean()

    def test_amounts_that_do_not_fit_are_refused(self) -> None:
        for total, weights, amounts in [
            (None, None, None),
            (2, None, None),
            (10, [1, 0, 0], None),
            (10, [1, 1], None),
            (10, None, [1, 2, 3]),
            (None, None, [1, 2]),
            (None, None, [1, 2, 0]),
        ]:
            with pytest.raises(errors.DivisionInvalid):
                amounts_of(3, total_mtok=total, weights=weights, amounts_mtok=amounts)
        assert amounts_of(3, total_mtok=None, weights=None, amounts_mtok=[1, 2, 3]) == [1, 2, 3]


class TestRearranging:
    def test_what_one_gives_another_gets_in_one_act(self, wallet: Account) -> None:
        one, two, three = make_pool(wallet, 4_000), make_pool(wallet, 6_000), make_pool(wallet, 50, capped=True)
        changes = {one.id: -1_500, two.id: 1_200, three.id: 25}
        with organization_scope(wallet.organization_id):
            seen = preview(account_id=wallet.id, changes=changes, actor=ACTOR, now=NOW)
        assert free(wallet, one, two) == [0, 4_000, 6_000]
        assert (seen.free_before_mtok, seen.free_after_mtok) == (0, 300)
        assert [(row.before_mtok, row.after_mtok) for row in seen.changes] == [(4_000, 2_500), (6_000, 7_200), (50, 75)]
        with organization_scope(wallet.organization_id):
            assert not AuditEvent.objects.filter(action="wallet.rearranged").exists()
            done = rearrange(account_id=wallet.id, changes=changes, state=seen.state, actor=ACTOR, now=NOW)
        assert done == seen
        assert free(wallet, one, two) == [300, 2_500, 7_200]
        assert cap_of(three) == 75
        assert_ledger_clean()

    def test_too_much_for_one_leaves_all_as_they_were(self, wallet: Account) -> None:
        one, two = make_pool(wallet, 4_000), make_pool(wallet, 5_000)
        with organization_scope(wallet.organization_id):
            with pytest.raises(errors.InsufficientTokens):
                rearrange(account_id=wallet.id, changes={one.id: -1_000, two.id: 2_001}, actor=ACTOR, now=NOW)
            with pytest.raises(errors.InsufficientTokens):
                rearrange(account_id=wallet.id, changes={one.id: -4_001}, actor=ACTOR, now=NOW)
        assert free(wallet, one, two) == [1_000, 4_000, 5_000]

    def test_a_preview_that_was_overtaken_is_refused_but_not_one_that_was_spent_from(self, wallet: Account) -> None:
        one, two = make_pool(wallet, 4_000), make_pool(wallet, 1_000)
        changes = {one.id: -500, two.id: 500}
        with organization_scope(wallet.organization_id):
            state = preview(account_id=wallet.id, changes=changes, actor=ACTOR, now=NOW).state
        make_hold(one, 100)
        with organization_scope(wallet.organization_id):
            state_after_spending = preview(account_id=wallet.id, changes=changes, actor=ACTOR, now=NOW).state
            assert state_after_spending == state
            splitting.give(account_id=one.id, mtok=1, actor=ACTOR, now=NOW)
            with pytest.raises(errors.StateChanged):
                rearrange(account_id=wallet.id, changes=changes, state=state, actor=ACTOR, now=NOW)
        assert free(one, two) == [3_901, 1_000]

    def test_below_a_capped_pool_the_cap_bounds_what_is_added_in_all(self, wallet: Account) -> None:
        team = make_pool(wallet, 1_000, capped=True)
        one, two = make_pool(team, 600), make_pool(team, 300)
        with organization_scope(wallet.organization_id):
            with pytest.raises(errors.QuotaExceeded):
                rearrange(account_id=team.id, changes={one.id: -100, two.id: 201}, actor=ACTOR, now=NOW)
            rearrange(account_id=team.id, changes={one.id: -100, two.id: 200}, actor=ACTOR, now=NOW)
        assert free(one, two) == [500, 500]
        assert balance_of(team).drawn_mtok == 1_000
        assert_ledger_clean()

    def test_only_what_is_directly_below(self, wallet: Account) -> None:
        pool = make_pool(wallet, 500)
        deep = make_pool(pool, 100)
        with organization_scope(wallet.organization_id):
            with pytest.raises(errors.NotNested):
                rearrange(account_id=wallet.id, changes={deep.id: -10}, actor=ACTOR, now=NOW)
            with pytest.raises(errors.AmountInvalid):
                rearrange(account_id=wallet.id, changes={pool.id: 0}, actor=ACTOR, now=NOW)


class TestCeilings:
    def test_a_ceiling_is_set_and_taken_away(self, wallet: Account) -> None:
        pool = make_pool(wallet, 500, capped=True)
        make_hold(pool, 200)
        with organization_scope(wallet.organization_id):
            with pytest.raises(errors.CapBelowDrawn):
                splitting.change_ceiling(account_id=pool.id, mtok=199, actor=ACTOR, now=NOW)
            assert splitting.change_ceiling(account_id=pool.id, mtok=200, actor=ACTOR, now=NOW).cap_mtok == 200
            assert splitting.change_ceiling(account_id=pool.id, mtok=None, actor=ACTOR, now=NOW).cap_mtok is None
            events = AuditEvent.objects.filter(action="pool.ceiling_changed").order_by("id")
            assert [(event.before["ceiling_mtok"], event.after["ceiling_mtok"]) for event in events] == [
                (500, 200),
                (200, None),
            ]

    def test_what_owns_tokens_has_none(self, wallet: Account) -> None:
        pool = make_pool(wallet, 500)
        with organization_scope(wallet.organization_id), pytest.raises(errors.NoQuota):
            splitting.change_ceiling(account_id=pool.id, mtok=600, actor=ACTOR, now=NOW)


def test_outsiders_find_nothing(wallet: Account, beta: Organization) -> None:
    pool, sibling = make_pool(wallet, 500), make_pool(wallet, 0)
    theirs = make_wallet(beta, 1_000)
    with organization_scope(beta.id):
        for act in (
            lambda: splitting.give(account_id=pool.id, mtok=1, actor=ACTOR, now=NOW),
            lambda: splitting.take(account_id=pool.id, actor=ACTOR, now=NOW),
            lambda: splitting.move(from_id=pool.id, to_id=sibling.id, actor=ACTOR, now=NOW),
            lambda: splitting.change_ceiling(account_id=pool.id, mtok=1, actor=ACTOR, now=NOW),
            lambda: reclaim_all(account_id=pool.id, revoke=True, actor=ACTOR, now=NOW),
            lambda: rearrange(account_id=wallet.id, changes={pool.id: -1}, actor=ACTOR, now=NOW),
            lambda: rearrange(account_id=theirs.id, changes={pool.id: -1}, actor=ACTOR, now=NOW),
            lambda: split(organization_id=beta.id, account_id=wallet.id, shares=[Share("A", 1)], actor=ACTOR, now=NOW),
        ):
            with pytest.raises(errors.AccountUnknown):
                act()
    assert free(wallet, pool, theirs) == [9_500, 500, 1_000]
