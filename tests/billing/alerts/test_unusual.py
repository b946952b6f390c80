"""What counts as unusual burn, against the formula's source, and that it is told of once a day."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest

from billing.enums import AlertRule
from billing.models import Account, DailyBurn
from billing.services.unusual import judge, notice_unusual_burn
from tenants.models import Organization
from tenants.scope import organization_scope
from tests.factories.alerts import alerts_of
from tests.factories.billing import make_wallet
from tests.factories.sub_tokens import make_sub_token

TODAY = date(2026, 11, 21)
NOW = datetime(2026, 11, 21, 15, 0, tzinfo=UTC)
STEADY = [100_000, 110_000, 90_000, 105_000, 95_000, 100_000, 98_000, 102_000, 100_000, 99_000, 101_000, 97_000]


def test_the_score_is_iglewicz_and_hoaglin_s() -> None:
    """The median is 100 Tokens; its distances are 0 10 10 5 5 0 2 2 0 1 1 3, whose median is 2."""
    found = judge(STEADY, 200_000, limit=3.5)
    assert found
    assert found.usual_mtok == 100_000
    assert found.score == pytest.approx((200 - 100) / (1.4826 * 2))


@pytest.mark.parametrize(
    ("past", "today", "unusual"),
    [
        (STEADY, 100_000, False),
        (STEADY, 149_000, False),  # beyond the score, but not half as much again
        (STEADY, 151_000, True),
        (STEADY[:6], 900_000, False),  # six days say nothing
        ([1] * 14, 9_999, False),  # less than 10 Tokens is nobody's worry
        ([0] * 10 + [50_000] * 4, 70_000, True),  # more than half alike: the mean distance stands in
        ([100_000] * 14, 151_000, True),  # all alike
        ([100_000] * 14, 150_000, False),
        # Five days were outliers themselves: the mean and 3.5 standard deviations (2,946 Tokens) would hide this.
        ([100_000] * 3 + [110_000] * 4 + [90_000] * 2 + [1_500_000] * 5, 1_600_000, True),
        ([20_000, 400_000] * 7, 900_000, False),  # such a weekly rhythm is usual
    ],
)
def test_what_is_unusual(past: list[int], today: int, unusual: bool) -> None:
    assert (judge(past, today, limit=3.5) is not None) == unusual


def test_a_higher_score_tells_less_often() -> None:
    assert judge(STEADY, 160_000, limit=3.5)
    assert judge(STEADY, 160_000, limit=50) is None


def burn(account: Account, days: dict[int, int]) -> None:
    """Write what was captured so many days ago (mtok)."""
    with organization_scope(account.organization_id):
        for back, mtok in days.items():
            day = TODAY - timedelta(days=back)
            DailyBurn.objects.create(
                organization_id=account.organization_id, account=account, day=day, captured_mtok=mtok, captures=1
            )


@pytest.mark.django_db
def test_a_sub_token_that_bursts_is_told_of_once_a_day(alpha: Organization) -> None:
    make_wallet(alpha)
    sub_token, _ = make_sub_token(alpha)
    steady, _ = make_sub_token(alpha, "Steady")
    burn(sub_token.account, {back: STEADY[back % 12] for back in range(1, 15)} | {0: 900_000})
    burn(steady.account, {back: 5_000_000 + back for back in range(15)})
    assert [notice_unusual_burn(now=NOW + timedelta(minutes=step)) for step in range(3)] == [1, 0, 0]
    assert alerts_of(alpha) == [(AlertRule.UNUSUAL_BURN, None, True)], "the organization as a whole is as usual"
    assert notice_unusual_burn(now=NOW + timedelta(days=1)) == 0


@pytest.mark.django_db
def test_a_new_sub_token_has_no_usual(alpha: Organization) -> None:
    make_wallet(alpha)
    sub_token, _ = make_sub_token(alpha)
    burn(sub_token.account, {3: 1_000, 2: 1_000, 1: 1_000, 0: 900_000})
    assert notice_unusual_burn(now=NOW) == 0
