"""Limits of Tokens: they nest, count to the thousandth, begin anew by the calendar, and bind what was spent before."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from billing.enums import AccountKind
from billing.errors import AccountUnknown, HourlyLimitExceeded, InsufficientTokens, QuotaExceeded
from billing.models import Account
from billing.services import holds
from billing.services.limits import Ceilings, set_limits
from tenants.actors import PLATFORM
from tenants.identifiers import new_id
from tenants.models import AuditEvent, Organization
from tenants.scope import organization_scope, platform_scope
from tests.factories.billing import NOW, make_account, make_capped_account, make_hold, make_wallet
from tests.factories.limits import assert_limits_clean, make_limits, used, windows

HOUR = timedelta(hours=1)


def capture(hold: holds.PlacedHold, mtok: int, *, now: datetime = NOW) -> None:
    with platform_scope("test"):
        holds.capture_holds(captures=[holds.Capture(hold.hold_id, mtok, new_id())], now=now)


def release(hold: holds.PlacedHold, *, now: datetime = NOW) -> None:
    with platform_scope("test"):
        holds.release_holds(hold_ids=[hold.hold_id], now=now)


@pytest.fixture
def wallet(alpha: Organization) -> Account:
    return make_wallet(alpha, 100_000)


@pytest.fixture
def team(wallet: Account) -> Account:
    return make_capped_account(wallet, None, kind=AccountKind.TEAM_POOL)


@pytest.fixture(params=["allocated", "capped"])
def member(team: Account, request: pytest.FixtureRequest) -> Account:
    """A sub-token's account three levels down: drawing on the wallet, or with Tokens of its own."""
    return make_account(team, 50_000) if request.param == "allocated" else make_capped_account(team, None)


@pytest.mark.parametrize(
    ("period", "error"),
    [("hour", HourlyLimitExceeded), ("day", QuotaExceeded), ("month", QuotaExceeded), ("total", QuotaExceeded)],
)
@pytest.mark.parametrize("level", [0, 1, 2])
def test_a_limit_at_any_level_is_reached_and_not_passed(
    wallet: Account, team: Account, member: Account, period: str, error: type[Exception], level: int
) -> None:
    make_limits([wallet, team, member][level], **{period: 1_000})
    make_hold(member, 999)
    with pytest.raises(error):
        make_hold(member, 2)
    make_hold(member, 1)
    with pytest.raises(error):
        make_hold(member, 1)
    assert used([wallet, team, member][level]) == {period: 1_000}
    assert_limits_clean()


def test_all_levels_must_have_room_and_a_refusal_counts_nowhere(
    wallet: Account, team: Account, member: Account
) -> None:
    make_limits(wallet, hour=5_000, day=6_000, month=7_000, total=8_000)
    make_limits(team, hour=3_000)
    make_limits(member, day=2_000, total=900)
    with pytest.raises(QuotaExceeded):
        make_hold(member, 901)
    make_hold(member, 900)
    other = make_capped_account(team, None)
    with pytest.raises(HourlyLimitExceeded):
        make_hold(other, 2_101)
    make_hold(other, 2_100)
    assert used(wallet) == dict.fromkeys(("hour", "day", "month", "total"), 3_000)
    assert used(team) == {"hour": 3_000}
    assert used(member) == {"day": 900, "total": 900}
    assert_limits_clean()


def test_what_is_above_and_beside_is_not_bound(wallet: Account, team: Account, member: Account) -> None:
    make_limits(team, hour=0)
    with pytest.raises(HourlyLimitExceeded):
        make_hold(member, 1)
    make_hold(wallet, 1_000)
    make_hold(make_account(wallet, 500), 500)


def test_an_account_that_is_opened_later_stands_under_the_same_limits(wallet: Account, team: Account) -> None:
    make_limits(wallet, day=1_000)
    make_limits(team, hour=700)
    late = make_capped_account(make_capped_account(team, None, kind=AccountKind.TEAM_POOL), None)
    make_hold(late, 700)
    with pytest.raises(HourlyLimitExceeded):
        make_hold(late, 1)
    make_hold(wallet, 300)
    with pytest.raises(QuotaExceeded):
        make_hold(wallet, 1)


@pytest.mark.parametrize(
    ("period", "last", "next_"),
    [
        ("hour", datetime(2026, 11, 21, 8, 59, 59, 999999, UTC), datetime(2026, 11, 21, 9, 0, tzinfo=UTC)),
        ("day", datetime(2026, 11, 21, 23, 59, 59, 999999, UTC), datetime(2026, 11, 22, 0, 0, tzinfo=UTC)),
        ("month", datetime(2026, 11, 30, 23, 59, 59, 999999, UTC), datetime(2026, 12, 1, 0, 0, tzinfo=UTC)),
    ],
)
def test_a_period_begins_anew_by_the_calendar(wallet: Account, period: str, last: datetime, next_: datetime) -> None:
    make_limits(wallet, **{period: 1_000})
    make_hold(wallet, 1_000)
    with pytest.raises(QuotaExceeded):
        make_hold(wallet, 1, now=last)
    make_hold(wallet, 1_000, now=next_)
    with pytest.raises(QuotaExceeded):
        make_hold(wallet, 1, now=next_)
    assert used(wallet, now=next_) == {period: 1_000}
    assert len(windows(wallet)) == 2
    assert_limits_clean()


def test_the_limit_in_all_never_begins_anew(wallet: Account) -> None:
    make_limits(wallet, total=1_000)
    make_hold(wallet, 1_000)
    with pytest.raises(QuotaExceeded):
        make_hold(wallet, 1, now=NOW + timedelta(days=4000))


def test_tokens_that_run_out_are_told_before_limits(wallet: Account) -> None:
    make_limits(wallet, hour=10)
    with pytest.raises(InsufficientTokens):
        make_hold(wallet, 100_001)


def test_a_duplicate_stays_a_duplicate_when_the_limit_is_full(wallet: Account) -> None:
    make_limits(wallet, hour=1_000)
    owner = new_id()
    first = make_hold(wallet, 1_000, key="same", owner_id=owner)
    again = make_hold(wallet, 1_000, key="same", owner_id=owner)
    assert again.duplicate
    assert again.hold_id == first.hold_id
    assert used(wallet) == {"hour": 1_000}


def test_a_limit_set_in_mid_period_counts_what_was_spent_before(
    wallet: Account, team: Account, member: Account
) -> None:
    long_ago, yesterday, this_morning = NOW - timedelta(days=60), NOW - timedelta(days=1), NOW - 3 * HOUR
    for amount, at in ((1_000, long_ago), (200, yesterday), (30, this_morning)):
        capture(make_hold(member, amount, now=at), amount, now=at)
    open_, partly, given_back = make_hold(member, 4), make_hold(team, 700), make_hold(member, 10_000)
    capture(partly, 500)
    release(given_back)
    for account in (wallet, team, member):
        make_limits(account, hour=10**6, day=10**6, month=10**6, total=10**6)
    assert used(team) == {"hour": 504, "day": 534, "month": 734, "total": 1_734}
    assert used(wallet) == used(team)
    assert used(member) == {"hour": 4, "day": 34, "month": 234, "total": 1_234}
    assert_limits_clean()
    make_limits(team, hour=504)
    with pytest.raises(HourlyLimitExceeded):
        make_hold(member, 1)
    assert open_.hold_id


def test_what_is_given_back_leaves_the_windows_in_which_it_was_counted(
    wallet: Account, team: Account, member: Account
) -> None:
    late = datetime(2026, 11, 30, 23, 59, 59, tzinfo=UTC)
    after = late + timedelta(minutes=5)
    for account in (wallet, team, member):
        make_limits(account, hour=1_000, day=1_000, month=1_000, total=1_000, now=late)
    released, partly, _expired = (make_hold(member, 300, now=late) for _ in range(3))
    make_hold(member, 40, now=after)
    release(released, now=after)
    capture(partly, 250, now=after)
    for account in (wallet, team, member):
        assert used(account, now=late) == dict.fromkeys(("hour", "day", "month"), 550) | {"total": 590}
        assert used(account, now=after) == dict.fromkeys(("hour", "day", "month"), 40) | {"total": 590}
    holds.expire_overdue_holds(now=late + timedelta(days=1))
    for account in (wallet, team, member):
        assert used(account, now=late) == dict.fromkeys(("hour", "day", "month", "total"), 250)
        assert used(account, now=after) == dict.fromkeys(("hour", "day", "month"), 0) | {"total": 250}
    assert_limits_clean()


def test_a_hold_that_resolves_twice_is_given_back_once(wallet: Account) -> None:
    make_limits(wallet, hour=1_000)
    hold = make_hold(wallet, 600)
    release(hold)
    release(hold)
    capture(hold, 600)
    assert used(wallet) == {"hour": 0}
    make_hold(wallet, 1_000)
    assert_limits_clean()


def test_a_hold_over_midnight_counts_on_the_day_on_which_it_was_placed(wallet: Account) -> None:
    before, after = datetime(2026, 11, 30, 23, 59, tzinfo=UTC), datetime(2026, 12, 1, 0, 1, tzinfo=UTC)
    captured, open_ = make_hold(wallet, 300, now=before), make_hold(wallet, 20, now=before)
    capture(captured, 300, now=after)
    make_hold(wallet, 1, now=after)
    make_limits(wallet, hour=10**6, day=10**6, month=10**6, total=10**6, now=after)
    assert used(wallet, now=after) == {"hour": 1, "day": 1, "month": 1, "total": 321}
    assert_limits_clean()
    assert open_.hold_id


def test_a_limit_below_what_was_used_refuses_until_the_period_is_over(wallet: Account) -> None:
    make_limits(wallet, hour=5_000)
    make_hold(wallet, 3_000)
    make_limits(wallet, hour=1_000)
    assert used(wallet) == {"hour": 3_000}
    with pytest.raises(HourlyLimitExceeded):
        make_hold(wallet, 1)
    make_hold(wallet, 1_000, now=NOW + HOUR)


def test_a_limit_that_is_taken_away_binds_no_more(wallet: Account, team: Account, member: Account) -> None:
    make_limits(team, hour=100, day=100)
    make_limits(team)
    make_hold(member, 20_000)
    with organization_scope(member.organization_id):
        assert Account.objects.get(id=member.id).limited_by is None
    assert windows(team) == []
    make_limits(team, day=20_000)
    with pytest.raises(QuotaExceeded):
        make_hold(member, 1)


def test_limits_of_another_organization_cannot_be_set(wallet: Account, beta: Organization) -> None:
    with organization_scope(beta.id), pytest.raises(AccountUnknown):
        set_limits(account_id=wallet.id, ceilings=Ceilings(), actor=PLATFORM, now=NOW)


def test_setting_limits_is_audited_with_what_changed(wallet: Account) -> None:
    make_limits(wallet, hour=1_000, day=9_000)
    make_limits(wallet, hour=2_000, day=9_000)
    make_limits(wallet, hour=2_000, day=9_000)
    with organization_scope(wallet.organization_id):
        events = list(AuditEvent.objects.filter(action="limits.set").order_by("id"))
    assert len(events) == 2
    assert events[1].before == {"tokens_per_hour_mtok": 1_000}
    assert events[1].after["tokens_per_hour_mtok"] == 2_000
    assert "tokens_per_day_mtok" not in events[1].after
