"""The plan's Tokens per hour have levels like an organization's own limits, with a boost counted in."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone, translation

from billing.alert_words import words
from billing.enums import AlertRule
from billing.models import Account, Alert, Plan
from billing.services.exhaustion import note_refusal
from billing.services.subscriptions import keep_ceilings
from tenants.models import Organization
from tenants.scope import organization_scope, platform_scope
from tests.factories.alerts import levels_of, raise_all, spend
from tests.factories.billing import make_wallet
from tests.factories.limits import make_limits
from tests.factories.plans import make_boost, make_plan, put_on

pytestmark = pytest.mark.django_db

LIMIT = AlertRule.LIMIT_USED


@pytest.fixture
def wallet(alpha: Organization) -> Account:
    wallet = make_wallet(alpha, 10_000_000)
    put_on(alpha, make_plan("team", tokens_per_hour_mtok=100_000))
    return wallet


def test_its_levels_count_once_an_hour(alpha: Organization, wallet: Account) -> None:
    spend(wallet, 79_999)
    raise_all()
    assert levels_of(alpha) == []
    spend(wallet, 1)
    raise_all()
    assert levels_of(alpha) == [80]
    spend(wallet, 20_000)
    raise_all()
    raise_all()
    assert levels_of(alpha) == [80, 95, 100]
    with organization_scope(alpha.id):
        alert = Alert.objects.get(rule=LIMIT, level=100)
    ends_at = timezone.now().replace(minute=0, second=0, microsecond=0) + timedelta(hours=1)
    assert alert.facts["resets_at"] == ends_at.strftime("%Y-%m-%dT%H:%M:%S+00:00")
    assert (alert.facts["limit"], alert.facts["plan"]) == ("hour", True)
    assert (alert.facts["used_mtok"], alert.facts["whole_mtok"]) == (100_000, 100_000)


def test_it_says_that_it_is_the_plans_and_leads_there(alpha: Organization, wallet: Account) -> None:
    spend(wallet, 80_000)
    raise_all()
    with organization_scope(alpha.id):
        alert = Alert.objects.get(rule=LIMIT)
    said = words(
        rule=LIMIT, level=80, subject_kind="organization", subject_id=alpha.id, subject_name="Alpha", facts=alert.facts,
        slug="alpha",
    )  # fmt: skip
    assert said.title == "Alpha has used 80% of its plan's Tokens per hour"
    assert "boost" in said.todo
    assert said.path == "/o/alpha/billing/plan/"
    with translation.override("zh-hans"):
        assert "套餐计划" in words(
            rule=LIMIT, level=80, subject_kind="organization", subject_id=alpha.id, subject_name="Alpha",
            facts=alert.facts, slug="alpha",
        ).title  # fmt: skip


def test_the_organizations_own_limit_is_told_of_beside_it(alpha: Organization, wallet: Account) -> None:
    make_limits(wallet, hour=50_000, now=timezone.now())
    spend(wallet, 40_000)
    raise_all()
    with organization_scope(alpha.id):
        (alert,) = Alert.objects.filter(rule=LIMIT)
    assert "plan" not in alert.facts


def test_a_boost_that_runs_raises_what_the_levels_are_of(alpha: Organization, wallet: Account) -> None:
    now = timezone.now()
    make_boost(alpha, "2", starts_at=now - timedelta(minutes=1), hours=2)
    spend(wallet, 159_999)
    raise_all()
    assert levels_of(alpha) == []
    spend(wallet, 1)
    raise_all()
    assert levels_of(alpha) == [80]


def test_a_boost_that_begins_within_the_hour_is_counted_from_then_on(alpha: Organization, wallet: Account) -> None:
    """The mark was set for the lower ceiling: it is passed without a word, and set anew."""
    spend(wallet, 10_000)
    # The triggers' clock is the beginning of the transaction, which is the test's.
    make_boost(alpha, "2", starts_at=timezone.now() - timedelta(minutes=1), hours=2)
    spend(wallet, 80_000)
    raise_all()
    assert levels_of(alpha) == []
    spend(wallet, 70_000)
    raise_all()
    assert levels_of(alpha) == [80]


def test_a_changed_plan_is_watched_anew(alpha: Organization, wallet: Account) -> None:
    spend(wallet, 50_000)
    with platform_scope("test"):
        Plan.objects.filter(key="team").update(tokens_per_hour_mtok=60_000)
    assert keep_ceilings(now=timezone.now()) == 1
    spend(wallet, 1)
    raise_all()
    assert levels_of(alpha) == [80]


def test_a_call_that_is_refused_is_told_of_as_the_end(alpha: Organization, wallet: Account) -> None:
    spend(wallet, 60_000)
    for _ in range(2):
        note_refusal(
            organization_id=alpha.id, account_id=wallet.id, limit="tokens_per_hour", by_plan=True, now=timezone.now()
        )
    raise_all()
    with organization_scope(alpha.id):
        alert = Alert.objects.get(rule=LIMIT)
    assert (alert.level, alert.facts["refused"], alert.facts["plan"]) == (100, True, True)
