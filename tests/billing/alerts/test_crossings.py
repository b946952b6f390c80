"""Levels of pools, sub-tokens, quotas and grants are seen by the database itself, each once per period."""

from __future__ import annotations

from datetime import timedelta
from itertools import count

import pytest
from django.db import connection, transaction
from django.utils import timezone

from billing.enums import AccountKind, AlertRule
from billing.models import Account, Crossing
from billing.services import accounts, allocations
from billing.services.alert_settings import change_settings
from tenants.actors import PLATFORM
from tenants.models import Organization
from tenants.scope import organization_scope, platform_scope
from tests.factories.alerts import alerts_of, levels_of, raise_all, spend
from tests.factories.billing import NOW, make_account, make_capped_account, make_grant, make_hold, make_wallet

pytestmark = pytest.mark.django_db

SUB = AlertRule.SUB_TOKEN_USED
_numbers = count(1)


@pytest.fixture
def wallet(alpha: Organization) -> Account:
    return make_wallet(alpha, 1_000_000)


def crossings() -> list[tuple[list[int], str]]:
    with platform_scope("look"):
        return list(Crossing.objects.filter(grant=None).order_by("id").values_list("levels", "period"))


def test_each_level_is_told_once(alpha: Organization, wallet: Account) -> None:
    account = make_account(wallet, 100_000)
    spend(account, 79_999)
    raise_all()
    assert alerts_of(alpha, SUB) == []
    spend(account, 1)
    assert crossings() == [([80], "1")]
    raise_all()
    assert alerts_of(alpha, SUB) == [(SUB, 80, True)]
    spend(account, 14_999)
    raise_all()
    assert alerts_of(alpha, SUB) == [(SUB, 80, True)]
    spend(account, 1)
    spend(account, 5_000)
    raise_all()
    assert [level for _, level, _ in alerts_of(alpha, SUB)] == [80, 95, 100]


def test_a_jump_past_several_levels_records_each_and_tells_of_the_highest(alpha: Organization, wallet: Account) -> None:
    account = make_account(wallet, 100_000)
    spend(account, 100_000)
    assert crossings() == [([80, 95, 100], "1")]
    raise_all()
    assert alerts_of(alpha, SUB) == [(SUB, 80, False), (SUB, 95, False), (SUB, 100, True)]


def test_a_quota_counts_what_is_drawn(alpha: Organization, wallet: Account) -> None:
    account = make_capped_account(wallet, 100_000)
    make_hold(account, 79_000)
    assert crossings() == []
    make_hold(account, 1_000)
    assert crossings() == [([80], "1")]


def test_a_team_s_pool_is_watched_and_what_it_gives_on_was_not_used(alpha: Organization, wallet: Account) -> None:
    pool = make_account(wallet, 100_000, kind=AccountKind.TEAM_POOL)
    make_account(pool, 90_000)
    assert crossings() == []
    spend(pool, 7_999)
    assert crossings() == []
    spend(pool, 1)
    raise_all()
    assert alerts_of(alpha, AlertRule.POOL_USED) == [(AlertRule.POOL_USED, 80, True)]


def test_giving_on_what_is_unused_can_reach_a_level(alpha: Organization, wallet: Account) -> None:
    pool = make_account(wallet, 100_000, kind=AccountKind.TEAM_POOL)
    spend(pool, 40_000)
    make_account(pool, 50_000)
    assert crossings() == [([80], "1")], "40 of the 50 that were its own are used"


def test_what_is_emptied_on_purpose_raises_nothing(alpha: Organization, wallet: Account) -> None:
    """A project's end takes everything back, of every sub-token: a hundred critical mails would be about nothing."""
    fenced = make_account(wallet, 100_000)
    drawing, bound = make_capped_account(wallet, None), make_capped_account(wallet, 100_000)
    for account in (fenced, drawing, bound):
        spend(account, 10_000)
    with organization_scope(alpha.id):
        allocations.reclaim(account_id=fenced.id, idempotency_key=f"back-{next(_numbers)}", now=NOW)
        for account in (drawing, bound):
            accounts.change_cap(account_id=account.id, cap_mtok=10_000)
    assert crossings() == []
    more(wallet, fenced, 1_000)
    with organization_scope(alpha.id):
        accounts.change_cap(account_id=bound.id, cap_mtok=11_000)
    for account in (fenced, bound):
        spend(account, 1_000)
    raise_all()
    assert [level for _, level, _ in alerts_of(alpha, SUB)].count(100) == 2, "what is used up is told of"


def test_tokens_that_arrive_begin_a_new_period(alpha: Organization, wallet: Account) -> None:
    account = make_account(wallet, 100_000)
    spend(account, 85_000)
    more(wallet, account, 10_000)
    raise_all()
    assert [level for _, level, _ in alerts_of(alpha, SUB)] == [80]
    spend(account, 19_999)
    raise_all()
    assert [level for _, level, _ in alerts_of(alpha, SUB)] == [80], "80 % of the 25 that it had then"
    spend(account, 1)
    raise_all()
    assert [level for _, level, _ in alerts_of(alpha, SUB)] == [80, 80]


def test_crumbs_do_not_begin_a_new_period_until_they_add_up(alpha: Organization, wallet: Account) -> None:
    account = make_account(wallet, 100_000)
    spend(account, 100_000)
    raise_all()
    told = len(alerts_of(alpha, SUB))
    for _ in range(9):
        more(wallet, account, 1_000)
        spend(account, 1_000)
    raise_all()
    assert len(alerts_of(alpha, SUB)) == told, "a level is told of once, however often a crumb is used up"
    more(wallet, account, 1_000)
    spend(account, 1_000)
    raise_all()
    assert [level for _, level, announced in alerts_of(alpha, SUB) if announced] == [100, 100]


def test_a_higher_quota_begins_a_new_period(alpha: Organization, wallet: Account) -> None:
    account = make_capped_account(wallet, 100_000)
    spend(account, 100_000)
    with organization_scope(alpha.id):
        accounts.change_cap(account_id=account.id, cap_mtok=105_000)
    spend(account, 5_000)
    raise_all()
    assert [level for _, level, announced in alerts_of(alpha, SUB) if announced] == [100]
    with organization_scope(alpha.id):
        accounts.change_cap(account_id=account.id, cap_mtok=200_000)
    spend(account, 55_000)
    raise_all()
    assert [level for _, level, announced in alerts_of(alpha, SUB) if announced] == [100, 80]


def test_the_wallet_tells_when_it_is_empty_and_not_when_it_was_given_on(alpha: Organization, wallet: Account) -> None:
    make_account(wallet, 900_000)
    spend(wallet, 99_999)
    assert crossings() == []
    spend(wallet, 1)
    raise_all()
    assert alerts_of(alpha, AlertRule.TOKENS_EXHAUSTED) == [(AlertRule.TOKENS_EXHAUSTED, 100, True)]


def test_a_wallet_that_was_given_on_entirely_is_not_exhausted(alpha: Organization, wallet: Account) -> None:
    make_account(wallet, 1_000_000)
    assert crossings() == []


def test_the_organization_chooses_its_levels(alpha: Organization, wallet: Account) -> None:
    account = make_account(wallet, 100_000)
    with organization_scope(alpha.id):
        change_settings(organization_id=alpha.id, levels=[50], actor=PLATFORM, now=NOW)
    spend(account, 49_999)
    assert crossings() == []
    spend(account, 1)
    raise_all()
    assert alerts_of(alpha, SUB) == [(SUB, 50, True)]


def test_a_rule_that_is_off_is_not_raised(alpha: Organization, wallet: Account) -> None:
    account = make_account(wallet, 100_000)
    with organization_scope(alpha.id):
        change_settings(organization_id=alpha.id, rules_off=[SUB], actor=PLATFORM, now=NOW)
    spend(account, 100_000)
    raise_all()
    assert alerts_of(alpha, SUB) == []
    assert crossings() == []


def test_spending_that_reaches_nothing_runs_no_trigger(alpha: Organization, wallet: Account) -> None:
    account = make_account(wallet, 100_000)
    raise_all()
    make_hold(account, 90_000)
    assert triggered(account, 79_999) == {}
    control = {"account_watch": 1, "lot_watch": 1}
    assert triggered(account, 80_000) == control, "this way of looking sees a trigger that runs"


def triggered(account: Account, mtok: int) -> dict[str, int]:
    """Capture so much, as the ledger's functions do, undo it, and return which triggers that watch ran how often."""
    plan = "EXPLAIN (ANALYZE, FORMAT JSON) "
    burn = "UPDATE {} SET posted_mtok = posted_mtok - %s, held_mtok = held_mtok - %s WHERE {} = %s"
    found: dict[str, int] = {}
    with organization_scope(account.organization_id), transaction.atomic(), connection.cursor() as cursor:
        for table, key in (("billing_account", "id"), ("billing_lot", "account_id")):
            cursor.execute(plan + burn.format(table, key), [mtok, mtok, account.id])
            ran = cursor.fetchone()[0][0]["Triggers"]
            found |= {
                trigger["Trigger Name"]: trigger["Calls"] for trigger in ran if "watch" in trigger["Trigger Name"]
            }
        transaction.set_rollback(True)
    return found


def more(wallet: Account, account: Account, mtok: int) -> None:
    with organization_scope(wallet.organization_id):
        allocations.allocate(
            from_account_id=wallet.id,
            to_account_id=account.id,
            mtok=mtok,
            idempotency_key=f"more-{next(_numbers)}",
            now=NOW,
        )


class TestGrants:
    """A grant's Tokens lie in many lots; its levels are those of their sum."""

    RULE = AlertRule.GRANT_USED

    def test_of_all_its_lots_together(self, alpha: Organization) -> None:
        wallet = make_wallet(alpha, 1_000_000)
        raise_all()
        spenders = [make_account(wallet, 250_000) for _ in range(4)]
        raise_all()
        for account in spenders[:3]:
            spend(account, 250_000)
        raise_all()
        assert levels_of(alpha, self.RULE) == []
        spend(spenders[3], 49_999)
        raise_all()
        assert levels_of(alpha, self.RULE) == []
        spend(spenders[3], 1)
        raise_all()
        assert levels_of(alpha, self.RULE) == [80]
        spend(spenders[3], 200_000)
        raise_all()
        assert levels_of(alpha, self.RULE) == [80, 95, 100]

    def test_at_the_exact_thousandth_whoever_spends(self, alpha: Organization) -> None:
        wallet = make_wallet(alpha, 1_000)
        accounts_ = [make_account(wallet, 100) for _ in range(10)]
        raise_all()
        spent = 0
        for step in range(80):
            spend(accounts_[(step * 7) % 10], 10)
            spent += 10
            raise_all()
            assert levels_of(alpha, self.RULE) == ([80] if spent >= 800 else []), f"after {spent} of 1000"

    def test_it_is_looked_at_few_times(self, alpha: Organization) -> None:
        """The marks spare the sum: most spending falls below none."""
        wallet = make_wallet(alpha, 1_000_000)
        accounts_ = [make_account(wallet, 100_000) for _ in range(10)]
        raise_all()
        looked = 0
        for step in range(200):
            spend(accounts_[step % 10], 3_900)
            with platform_scope("look"):
                looked += Crossing.objects.exclude(grant=None).exists()
            raise_all()
        assert levels_of(alpha, self.RULE) == []
        assert looked < 60

    def test_an_expired_grant_is_no_news(self, alpha: Organization) -> None:
        wallet = make_wallet(alpha)
        ends = timezone.now() + timedelta(hours=1)
        make_grant(alpha, 1_000, expires_at=ends)
        raise_all()
        spend(wallet, 900)
        raise_all(ends + timedelta(minutes=1))
        assert levels_of(alpha, self.RULE) == []
        with platform_scope("look"):
            assert not Crossing.objects.exists()
