"""The day on which Tokens run out: pace, burn order, expiry, caps."""

from __future__ import annotations

from datetime import date, timedelta

import pytest
from django.test import Client
from hypothesis import given
from hypothesis import strategies as st

from billing.models import Account
from billing.queries.forecast import FARTHEST_DAYS, Forecast, _lasting_days, _Share, forecast, organization_forecast
from billing.services.holds import Capture, capture_holds
from tenants.identifiers import new_id
from tenants.models import Organization, User
from tenants.permissions import Permission
from tenants.scope import organization_scope, platform_scope
from tests.api_client import body, manager_of
from tests.factories.billing import NOW, make_account, make_capped_account, make_grant, make_hold, make_wallet
from tests.factories.tenants import make_membership

pytestmark = pytest.mark.django_db


def burn(account: Account, mtok: int, *, days_ago: int = 0) -> None:
    then = NOW - timedelta(days=days_ago)
    hold = make_hold(account, mtok, now=then)
    with platform_scope("test"):
        capture_holds(captures=[Capture(hold.hold_id, mtok, new_id())], now=then)


def ahead(account: Account) -> Forecast:
    with organization_scope(account.organization_id):
        found = forecast(account.id, now=NOW)
    assert found is not None
    return found


def day(days: int) -> date:
    return NOW.date() + timedelta(days=days)


def test_without_a_pace_there_is_no_day(alpha: Organization) -> None:
    account = make_account(make_wallet(alpha, 50_000), 50_000, now=NOW - timedelta(days=20))
    assert ahead(account) == Forecast(None, 0, 0, 50_000)
    burn(account, 10_000, days_ago=7)
    assert ahead(account) == Forecast(None, 0, 0, 40_000), "a week ago is too long ago"


def test_the_pace_is_of_the_days_since_the_first_capture_of_the_week(alpha: Organization) -> None:
    account = make_account(make_wallet(alpha, 100_000), 100_000, now=NOW - timedelta(days=20))
    burn(account, 3_000, days_ago=2)
    burn(account, 6_000)
    assert ahead(account) == Forecast(day(30), 3_000, 3, 91_000, 0, 30)
    burn(account, 1_000, days_ago=6)
    assert ahead(account) == Forecast(day(63), 1_429, 7, 90_000, 0, 63)


def test_tokens_that_expire_before_their_turn_are_lost(alpha: Organization) -> None:
    wallet = make_wallet(alpha)
    make_grant(alpha, 50_000, expires_at=NOW + timedelta(days=10), now=NOW - timedelta(days=20))
    make_grant(alpha, 30_000, now=NOW - timedelta(days=20))
    burn(wallet, 7_000, days_ago=6)
    # A thousand a day: ten of the 43 thousand before they expire, then the thirty that do not.
    assert ahead(wallet) == Forecast(day(40), 1_000, 7, 73_000, 33_000, 40)


def test_a_cap_ends_it_earlier_and_what_draws_on_a_pool_is_its_pace(alpha: Organization) -> None:
    wallet = make_wallet(alpha, 100_000, now=NOW - timedelta(days=20))
    line = make_capped_account(wallet, 20_000)
    burn(line, 7_000, days_ago=6)
    assert ahead(line) == Forecast(day(13), 1_000, 7, 13_000, 0, 13)
    assert ahead(wallet) == Forecast(day(93), 1_000, 7, 93_000, 0, 93)
    with organization_scope(alpha.id):
        assert organization_forecast(alpha.id, now=NOW) == ahead(wallet)


def test_what_lasts_for_ever_has_no_day(alpha: Organization) -> None:
    account = make_account(make_wallet(alpha, 10**9), 10**9, now=NOW - timedelta(days=20))
    burn(account, 10, days_ago=6)
    found = ahead(account)
    assert (found.runs_out_on, found.basis_days) == (None, 7)
    assert (found.lasts_days or 0) > FARTHEST_DAYS


@given(
    shares=st.lists(st.tuples(st.integers(1, 10**6), st.none() | st.integers(0, 200)), max_size=6),
    room=st.none() | st.integers(0, 10**6),
    burned=st.integers(1, 10**6),
    days=st.integers(1, 7),
)
def test_the_days_are_those_in_which_the_pace_spends_what_can_be_spent(
    shares: list[tuple[int, int | None]], room: int | None, burned: int, days: int
) -> None:
    given_shares = [_Share(mtok, None if left is None else NOW + timedelta(days=left)) for mtok, left in shares]
    lasting, lost = _lasting_days(given_shares, room, burned, days, NOW)
    total = sum(mtok for mtok, _ in shares)
    assert 0 <= lost <= total
    spendable = total - lost if room is None else min(total - lost, room)
    # What is spent at this pace in that time is what could be spent, give or take a thousandth and a second a share.
    pace = burned / (days * 86_400)
    slack = (len(shares) + 1) * (pace + 1)
    assert lasting * 86_400 * pace <= spendable + slack
    assert (lasting + 1) * 86_400 * pace >= spendable - slack


def test_the_api_tells_a_sub_token_its_own_and_a_key_all(alpha: Organization, beta: Organization) -> None:
    account = make_account(make_wallet(alpha, 100_000), 50_000)
    make_wallet(beta, 1_000)
    key = manager_of(alpha, Permission.GRANTS_VIEW)
    answer = body(key.get("/v1/forecast"))
    assert answer["organization"]["available_tokens"] == 100
    assert {row["account"]["id"] for row in answer["data"]} >= {str(account.id)}
    assert len(body(key.get("/v1/forecast", kind="sub_token"))["data"]) == 1
    assert key.get("/v1/forecast", kind="issued").status_code == 422
    assert manager_of(alpha, Permission.CALLS_VIEW).get("/v1/forecast").status_code == 403
    theirs = body(manager_of(beta, Permission.GRANTS_VIEW).get("/v1/forecast"))
    assert theirs["organization"]["available_tokens"] == 1
    assert str(account.id) not in str(theirs)


def test_the_page_and_its_file(alpha: Organization, charlie: User, client: Client) -> None:
    account = make_account(make_wallet(alpha, 100_000), 50_000)
    client.force_login(make_membership(alpha).user)
    text = client.get("/o/alpha/forecast/", {"kind": "sub_token"}).content.decode()
    assert account.label in text
    assert "Nothing matches" in client.get("/o/alpha/forecast/", {"q": "zzz"}).content.decode()
    lines = b"".join(client.get("/o/alpha/forecast.csv")).decode().splitlines()
    assert lines[0].startswith("account,kind,available")
    assert f"{account.label},sub_token,50.000,0.000,0,,0.000" in lines
    client.force_login(charlie)
    assert client.get("/o/alpha/forecast/").status_code == client.get("/o/alpha/forecast.csv").status_code == 404
