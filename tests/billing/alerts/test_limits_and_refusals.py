"""Levels of limits, and what a refused call tells of."""

from __future__ import annotations

import math
from datetime import timedelta

import pytest
from django.utils import timezone

from billing.enums import AlertRule
from billing.errors import LedgerError
from billing.models import Account, Alert, Crossing
from billing.services import exhaustion
from billing.services.alert_settings import change_settings
from billing.services.exhaustion import forget_refusals, note_refusal
from billing.services.limits import Ceilings, set_limits
from tenants.actors import PLATFORM
from tenants.models import Organization
from tenants.scope import organization_scope, platform_scope
from tests.factories.alerts import alerts_of, levels_of, raise_all, spend
from tests.factories.billing import make_account, make_capped_account, make_hold, make_wallet
from tests.factories.limits import make_limits

pytestmark = pytest.mark.django_db

LIMIT = AlertRule.LIMIT_USED


@pytest.fixture
def wallet(alpha: Organization) -> Account:
    return make_wallet(alpha, 1_000_000)


def test_a_limit_s_levels_count_once_per_window(alpha: Organization, wallet: Account) -> None:
    make_limits(wallet, day=100_000, now=timezone.now())
    spend(wallet, 79_999)
    raise_all()
    assert levels_of(alpha) == []
    spend(wallet, 1)
    raise_all()
    assert levels_of(alpha) == [80]
    spend(wallet, 20_000)
    raise_all()
    assert levels_of(alpha) == [80, 95, 100]
    with organization_scope(alpha.id):
        alert = Alert.objects.get(rule=LIMIT, level=100)
        assert alert.period == f"day:{timezone.now():%Y-%m-%d}T00:00:00Z"
        assert alert.facts["limit"] == "day"
        tomorrow = (timezone.now() + timedelta(days=1)).strftime("%Y-%m-%dT00:00:00+00:00")
        assert alert.facts["resets_at"] == tomorrow


def test_a_limit_of_all_counts_what_is_spent_below(alpha: Organization, wallet: Account) -> None:
    make_limits(wallet, total=100_000, now=timezone.now())
    account = make_account(wallet, 500_000)
    spend(account, 96_000)
    raise_all()
    assert alerts_of(alpha, LIMIT) == [(LIMIT, 80, False), (LIMIT, 95, True)]


def test_a_raised_limit_is_watched_anew_and_told_of_once(alpha: Organization, wallet: Account) -> None:
    make_limits(wallet, month=100_000, now=timezone.now())
    spend(wallet, 85_000)
    raise_all()
    make_limits(wallet, month=200_000, now=timezone.now())
    spend(wallet, 74_999)
    raise_all()
    assert levels_of(alpha) == [80], "the same window, the same level"
    spend(wallet, 30_001)
    raise_all()
    assert levels_of(alpha) == [80, 95]


def test_new_levels_hold_for_windows_that_run(alpha: Organization, wallet: Account) -> None:
    make_limits(wallet, day=100_000, now=timezone.now())
    spend(wallet, 10_000)
    with organization_scope(alpha.id):
        change_settings(organization_id=alpha.id, levels=[50], actor=PLATFORM, now=timezone.now())
    spend(wallet, 40_000)
    raise_all()
    assert levels_of(alpha) == [50]


def test_without_limits_nothing_is_said_of_them(alpha: Organization, wallet: Account) -> None:
    make_limits(wallet, day=100_000, now=timezone.now())
    with organization_scope(alpha.id):
        set_limits(account_id=wallet.id, ceilings=Ceilings(), actor=PLATFORM, now=timezone.now())
    spend(wallet, 100_000)
    raise_all()
    assert levels_of(alpha) == []


def refuse(account: Account, mtok: int, limit: str) -> None:
    """Let a call be refused, and note it as admission does."""
    with pytest.raises(LedgerError):
        make_hold(account, mtok, now=timezone.now())
    note_refusal(organization_id=account.organization_id, account_id=account.id, limit=limit, now=timezone.now())


def test_a_refused_call_tells_that_too_little_is_left(alpha: Organization, wallet: Account) -> None:
    account = make_account(wallet, 1_000)
    spend(account, 700)
    raise_all()
    assert levels_of(alpha, AlertRule.SUB_TOKEN_USED) == []
    refuse(account, 700, "tokens")
    raise_all()
    assert levels_of(alpha, AlertRule.SUB_TOKEN_USED) == [100]
    with organization_scope(alpha.id):
        assert Alert.objects.get(rule=AlertRule.SUB_TOKEN_USED).facts["refused"] is True


def test_a_flood_of_refusals_is_one_alert(
    alpha: Organization, wallet: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exhaustion, "NOTE_EVERY_SECONDS", math.inf)
    account = make_capped_account(wallet, 1_000)
    spend(account, 700)
    for _ in range(50):
        refuse(account, 700, "quota")
    with platform_scope("look"):
        assert Crossing.objects.filter(refused=True).count() == 1
    forget_refusals()
    refuse(account, 700, "quota")
    raise_all()
    spend(account, 300)
    raise_all()
    announced = [level for _, level, told in alerts_of(alpha, AlertRule.SUB_TOKEN_USED) if told]
    assert announced == [100], "also when the last thousandth is used afterwards"


def test_an_empty_wallet_is_told_of_when_a_call_finds_it(alpha: Organization) -> None:
    wallet = make_wallet(alpha, 500)
    refuse(wallet, 700, "tokens")
    raise_all()
    assert levels_of(alpha, AlertRule.TOKENS_EXHAUSTED) == [100]


def test_a_refusal_at_a_limit_is_its_end(alpha: Organization, wallet: Account) -> None:
    make_limits(wallet, hour=1_000, now=timezone.now())
    spend(wallet, 700)
    refuse(wallet, 700, "tokens_per_hour")
    raise_all()
    assert levels_of(alpha) == [100]


def test_an_outsider_s_account_is_not_noted(alpha: Organization, beta: Organization, wallet: Account) -> None:
    note_refusal(organization_id=beta.id, account_id=wallet.id, limit="tokens", now=timezone.now())
    with platform_scope("look"):
        assert not Crossing.objects.filter(refused=True).exists()
