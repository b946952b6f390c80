"""What users of other systems report of budgets and rate limits, held against ours."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from threading import Barrier

import pytest
import redis
from django.conf import settings

from billing.errors import HourlyLimitExceeded, InsufficientTokens, QuotaExceeded
from billing.models import Account
from billing.services import holds
from billing.services import rate_scripts as scripts
from billing.services.rate import admit, release
from tenants.identifiers import new_id
from tenants.models import Organization
from tenants.scope import platform_scope
from tests.billing.test_rate import credential, organization, outcome
from tests.concurrency.racing import connect, place, race
from tests.factories.billing import (
    NOW,
    assert_ledger_clean,
    balance_of,
    make_account,
    make_capped_account,
    make_hold,
    make_wallet,
)
from tests.factories.limits import assert_limits_clean, make_limits, used

pytestmark = [pytest.mark.concurrency, pytest.mark.slow]


def calls(accounts: list[Account], mtok: int) -> list[Callable[[], str]]:
    def call(account: Account) -> str:
        with connect() as connection:
            return place(connection, account, mtok)[0]

    return [lambda account=account: call(account) for account in accounts]  # type: ignore[misc]


# --- Overspend races -------------------------------------------------------------------------------------------------
def test_one_api_2440_fifty_calls_at_once_do_not_pass_one_stale_balance(
    committed_db: None, alpha: Organization
) -> None:
    """one-api#2440, new-api#6609, #5690, #6607: check and deduction are apart, and 50 parallel calls pass."""
    wallet = make_wallet(alpha, 1_000)
    assert race(calls([wallet] * 50, 300)) == {"held": 3, "insufficient_tokens": 47}
    assert_ledger_clean()


def test_one_api_204_an_exhausted_key_is_refused_by_the_next_call(committed_db: None, alpha: Organization) -> None:
    """one-api#204: a cached quota leaves an exhausted key usable for five more minutes."""
    member = make_capped_account(make_wallet(alpha, 10_000), 1_000)
    make_hold(member, 1_000)
    with pytest.raises(QuotaExceeded):
        make_hold(member, 1)
    make_limits(member, total=1_000)
    assert race(calls([member] * 8, 1)) == {"quota_exceeded": 8}


def test_one_api_925_a_small_key_of_the_rich_makes_no_debt(committed_db: None, alpha: Organization) -> None:
    """one-api PR#925: who is rich may let a small key run deep into debt."""
    member = make_account(make_wallet(alpha, 10**9), 100)
    with pytest.raises(InsufficientTokens):
        make_hold(member, 101)
    assert balance_of(member).available_mtok == 100


def test_litellm_26672_a_budget_of_30_is_not_99(committed_db: None, alpha: Organization) -> None:
    """litellm#26672: 99 dollars on a budget of 30; #11083: a user's budget never blocks."""
    wallet = make_wallet(alpha, 10**6)
    team = make_capped_account(wallet, None, kind="team_pool")
    users = [make_account(team, 50_000), make_capped_account(team, None), make_capped_account(team, None)]
    make_limits(team, month=30_000)
    make_limits(users[1], month=7_000)
    for _ in range(3):
        race(calls(users * 11, 1_000))
    assert used(team) == {"month": 30_000}
    assert used(users[1])["month"] <= 7_000
    assert_limits_clean()


def test_litellm_40095_the_first_calls_of_a_period_do_not_slip_past_together(
    committed_db: None, alpha: Organization
) -> None:
    """litellm#40095: eight concurrent first requests, for which no counter is there yet, bypass the budget."""
    wallet = make_wallet(alpha, 10**6)
    make_limits(wallet, hour=1_000, now=NOW - timedelta(hours=3))
    assert race(calls([wallet] * 8, 400)) == {"held": 2, "hourly_limit_exceeded": 6}
    assert_limits_clean()


def test_paperclip_11276_what_runs_counts_before_it_is_done(committed_db: None, alpha: Organization) -> None:
    """paperclip#11276: cost is recorded only at completion, and one run spends ten times its hard stop."""
    wallet = make_wallet(alpha, 10**6)
    make_limits(wallet, total=500)
    make_hold(wallet, 500)
    with pytest.raises(QuotaExceeded):
        make_hold(wallet, 1)


# --- Phantom spend ---------------------------------------------------------------------------------------------------
def test_litellm_27639_what_was_given_back_is_in_nobodys_way(committed_db: None, alpha: Organization) -> None:
    """litellm#27639, PR#38647: next to no real spend, and a budget clamped full by estimates that never came true."""
    wallet = make_wallet(alpha, 10**6)
    make_limits(wallet, hour=1_000, day=1_000, month=1_000, total=1_000)
    for _ in range(5):
        worst_case = make_hold(wallet, 1_000)
        with platform_scope("test"):
            holds.release_holds(hold_ids=[worst_case.hold_id], now=NOW)
    estimate = make_hold(wallet, 1_000)
    with platform_scope("test"):
        holds.capture_holds(captures=[holds.Capture(estimate.hold_id, 1, new_id())], now=NOW)
    assert set(used(wallet).values()) == {1}
    make_hold(wallet, 999)


def test_litellm_30330_a_process_that_dies_pins_nothing(committed_db: None, alpha: Organization) -> None:
    """litellm PR#30330: a pod that dies in mid-request keeps its reservation for ever."""
    wallet = make_wallet(alpha, 1_000)
    make_limits(wallet, day=1_000)
    make_hold(wallet, 1_000, deadline=NOW + timedelta(minutes=1))
    holds.expire_overdue_holds(now=NOW + timedelta(minutes=2))
    assert used(wallet) == {"day": 0}
    make_hold(wallet, 1_000)


def test_litellm_30460_counters_and_ledger_say_the_same(committed_db: None, alpha: Organization) -> None:
    """litellm#30460: Redis says 50, the database 14. Ours has one truth, in the transaction that spends."""
    wallet = make_wallet(alpha, 10**6)
    make_limits(wallet, hour=10**6)
    race(calls([wallet] * 16, 100))
    assert used(wallet) == {"hour": balance_of(wallet).held_mtok}


# --- Rate limits -----------------------------------------------------------------------------------------------------
def test_litellm_39309_a_call_refused_for_concurrency_burns_no_rate() -> None:
    """litellm#39309: requests that are rejected for concurrency still count against the requests per minute."""
    who = credential("0.01", burst=2, concurrency=1, per_day=2)
    admit(who, "first")
    for _ in range(20):
        assert outcome(who) == "concurrency_limited"
    release(who, "first")
    assert outcome(who) == "admitted"


def test_litellm_16011_the_concurrency_cap_is_not_exceeded() -> None:
    """litellm#16011: more calls run at a time than the cap allows."""
    top = organization(concurrency=5)
    callers = [credential(above=(top,))] * 24
    start = Barrier(len(callers))

    def one(number: int) -> str:
        start.wait()
        return outcome(callers[number])

    with ThreadPoolExecutor(len(callers)) as pool:
        assert Counter(pool.map(one, range(len(callers)))) == {"admitted": 5, "concurrency_limited": 19}


def test_litellm_24677_the_rate_is_enforced_as_it_was_set(monkeypatch: pytest.MonkeyPatch) -> None:
    """litellm#24677: the limit bites at 70 % of what was set. Two seconds by a clock that this test sets forward."""
    clock = redis.Redis.from_url(settings.REDIS_URL, socket_timeout=60)
    told = scripts.ADMIT.replace("redis.call('TIME')", "redis.call('HMGET', 'clock', 'seconds', 'microseconds')")
    # Keys go by the server's own clock, so here they last a thousand times as long.
    told = told.replace("(full_at[level] - now) / 1000", "full_at[level] - now")
    assert "TIME" not in told
    monkeypatch.setattr(scripts, "ADMIT", told)
    who, admitted = credential("50", burst=10), []
    for millisecond in range(2000):
        clock.hset("clock", mapping={"seconds": millisecond // 1000, "microseconds": millisecond % 1000 * 1000})
        if outcome(who) == "admitted":
            admitted.append(millisecond)
    assert admitted == [*range(10), *range(20, 2000, 20)]


# --- Budget reset ----------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("period", ["hour", "day", "month"])
def test_litellm_16057_a_new_period_begins_at_nothing(committed_db: None, alpha: Organization, period: str) -> None:
    """litellm#16057, #7129: spend never resets. Ours has nothing to reset: another period is another window."""
    wallet = make_wallet(alpha, 10**6)
    make_limits(wallet, **{period: 100})
    make_hold(wallet, 100)
    with pytest.raises((HourlyLimitExceeded, QuotaExceeded)):
        make_hold(wallet, 1)
    later = datetime(2026, 12, 1, tzinfo=UTC)
    assert used(wallet, now=later) == {period: 0}
    make_hold(wallet, 100, now=later)
