"""The ceilings of a plan act on every call: requests, calls at a time, Tokens per hour, models, share of workers."""

from __future__ import annotations

import math
from datetime import datetime, timedelta
from decimal import Decimal
from types import SimpleNamespace

import pytest
from django.utils import timezone

from billing.enums import AccountKind
from billing.errors import ExpiryOutOfRange, HourlyLimitExceeded
from billing.models import Account, Boost, LimitWindow, Plan
from billing.queries import credentials
from billing.queries.credentials import credential_for_secret, credential_for_sub_token, forget_credentials
from billing.queries.limits import limits_of, plan_hour
from billing.queries.plans import subscription
from billing.services.accounts import open_wallet
from billing.services.rate import admit
from billing.services.sub_tokens import create_sub_token
from billing.services.subscriptions import keep_ceilings
from detection.services.admission import weight_of
from tenants.actors import PLATFORM
from tenants.api.problems import Problem
from tenants.models import Organization
from tenants.scope import organization_scope, platform_scope
from tests.billing.test_rate import SLOW, use_up
from tests.factories.billing import NOW, make_account, make_hold, make_wallet
from tests.factories.limits import assert_limits_clean, make_limits, used
from tests.factories.plans import make_boost, make_plan, put_on
from tests.factories.sub_tokens import make_sub_token

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("fresh_process")]


def hold(account: Account, mtok: int, *, now: datetime = NOW) -> str:
    """Place a hold, and say whether it is held or the Tokens per hour refuse it."""
    try:
        make_hold(account, mtok, now=now)
    except HourlyLimitExceeded:
        return "refused"
    return "held"


def test_a_new_organization_is_on_the_initial_plan(alpha: Organization) -> None:
    open_wallet(alpha.id)
    with organization_scope(alpha.id):
        found = subscription()
        assert found is not None
        assert found.plan.key == "free"
        assert found.plan.initial


def test_requests_per_second_bind_the_whole_organization(alpha: Organization) -> None:
    make_wallet(alpha, 1_000)
    put_on(alpha, make_plan(requests_per_second=Decimal("2")))
    first = credential_for_secret(make_sub_token(alpha, "One")[1])
    second = credential_for_secret(make_sub_token(alpha, "Two", requests_per_second=50)[1])
    assert first
    assert second
    admit(first, "a")
    admit(second, "b")
    use_up(first, -1)
    with pytest.raises(Problem) as refusal:
        admit(first, "c")
    problem = refusal.value
    assert problem.code == "rate_limited"
    assert (problem.extra["level"], problem.extra["limit"]) == ("organization", "requests_per_second")
    assert problem.extra["plan"].startswith("plan-")
    assert problem.extra["upgrade_url"].endswith("/o/alpha/billing/plan/")
    assert "Your plan, Plan-" in problem.detail
    assert "2 requests per second" in problem.detail
    assert int(problem.headers["Retry-After"]) >= 1


def test_calls_at_a_time_bind_the_whole_organization(alpha: Organization) -> None:
    make_wallet(alpha, 1_000)
    put_on(alpha, make_plan(concurrency=2))
    callers = [credential_for_secret(make_sub_token(alpha, f"Line {number}")[1]) for number in range(3)]
    for number, caller in enumerate(callers[:2]):
        assert caller
        admit(caller, f"lease-{number}")
    assert callers[2]
    with pytest.raises(Problem, match="2 calls at a time") as refusal:
        admit(callers[2], "lease-3")
    assert refusal.value.code == "concurrency_limited"
    assert "upgrade_url" in refusal.value.extra


def test_the_organizations_own_limit_is_said_to_be_its_own(alpha: Organization) -> None:
    wallet = make_wallet(alpha, 1_000)
    put_on(alpha, make_plan(requests_per_second=Decimal("5")))
    make_limits(wallet, requests_per_second=Decimal(SLOW))
    caller = credential_for_secret(make_sub_token(alpha)[1])
    assert caller
    admit(caller, "a")
    with pytest.raises(Problem) as refusal:
        admit(caller, "b")
    assert "plan" not in refusal.value.extra
    assert "upgrade_url" not in refusal.value.extra


def test_models_outside_the_plan_are_refused_whatever_the_sub_token_says(alpha: Organization) -> None:
    make_wallet(alpha, 1_000)
    put_on(alpha, make_plan(models=["yolo26n"]))
    caller = credential_for_secret(make_sub_token(alpha, models=["yolo26x"])[1])
    assert caller
    with pytest.raises(Problem, match=r"Your plan, .* does not include the model yolo26x") as refusal:
        caller.require_model("yolo26x", "detect")
    assert refusal.value.code == "model_not_allowed"
    assert refusal.value.extra["upgrade_url"].endswith("/billing/plan/")
    assert not caller.allows_model("yolo26x", "detect")
    with pytest.raises(Problem, match="This sub-token may not use"):
        caller.require_model("yolo26n", "detect")


def test_the_weight_is_the_plans(alpha: Organization) -> None:
    make_wallet(alpha)
    put_on(alpha, make_plan(weight=7))
    caller = credential_for_secret(make_sub_token(alpha)[1])
    assert caller
    assert weight_of(caller) == 7.0


def test_a_sub_token_may_live_as_long_as_the_plan_says(alpha: Organization) -> None:
    make_wallet(alpha, 1_000)
    put_on(alpha, make_plan(sub_token_days=7))
    with organization_scope(alpha.id):
        made = create_sub_token(organization_id=alpha.id, name="One", actor=PLATFORM, now=NOW).sub_token
        assert made.expires_at == NOW + timedelta(days=7)
        with pytest.raises(ExpiryOutOfRange, match="By your plan"):
            create_sub_token(
                organization_id=alpha.id, name="Two", expires_at=NOW + timedelta(days=8), actor=PLATFORM, now=NOW
            )


class TestTokensPerHour:
    """The plan's ceiling beside the organization's own."""

    def test_it_counts_all_accounts_and_refuses_by_name(self, alpha: Organization) -> None:
        wallet = make_wallet(alpha, 100_000)
        put_on(alpha, make_plan(tokens_per_hour_mtok=10_000))
        one, two = make_account(wallet, 20_000), make_account(wallet, 20_000)
        assert hold(one, 6_000) == "held"
        assert hold(two, 4_001) == "refused"
        assert hold(two, 4_000) == "held"
        with organization_scope(alpha.id):
            state = plan_hour(wallet.id, now=NOW)
            assert state is not None
            assert (state.ceiling_mtok, state.used_mtok) == (10_000, 10_000)
            assert limits_of(wallet.id, now=NOW) == [], "it is none of the organization's own limits"
        assert_limits_clean()

    def test_it_begins_anew_with_the_hour(self, alpha: Organization) -> None:
        wallet = make_wallet(alpha, 100_000)
        put_on(alpha, make_plan(tokens_per_hour_mtok=10_000))
        assert hold(wallet, 10_000) == "held"
        assert hold(wallet, 1) == "refused"
        assert hold(wallet, 10_000, now=NOW + timedelta(hours=1)) == "held"

    def test_both_ceilings_bind_and_setting_one_leaves_the_other(self, alpha: Organization) -> None:
        wallet = make_wallet(alpha, 100_000)
        put_on(alpha, make_plan(tokens_per_hour_mtok=10_000))
        make_limits(wallet, hour=7_000)
        assert hold(wallet, 7_001) == "refused"
        assert hold(wallet, 7_000) == "held"
        make_limits(wallet, hour=50_000)
        assert hold(wallet, 3_001) == "refused"
        assert hold(wallet, 3_000) == "held"
        make_limits(wallet)
        assert hold(wallet, 1) == "refused", "the plan's stays when the own limits go"
        assert used(wallet) == {}

    def test_a_plan_that_is_entered_in_mid_hour_counts_what_was_spent(self, alpha: Organization) -> None:
        wallet = make_wallet(alpha, 100_000)
        assert hold(wallet, 8_000) == "held"
        put_on(alpha, make_plan(tokens_per_hour_mtok=10_000))
        assert hold(wallet, 2_001) == "refused"
        assert hold(wallet, 2_000) == "held"

    def test_leaving_it_lets_go_of_every_account(self, alpha: Organization) -> None:
        wallet = make_wallet(alpha, 100_000)
        put_on(alpha, make_plan(tokens_per_hour_mtok=1_000))
        account = make_account(wallet, 20_000)
        assert hold(account, 1_001) == "refused"
        put_on(alpha, "enterprise")
        assert hold(account, 20_000) == "held"
        with organization_scope(alpha.id):
            assert not Account.objects.exclude(limited_by=None).exists()
            assert not LimitWindow.objects.exists()

    def test_a_changed_plan_reaches_everybody_who_has_it(self, alpha: Organization) -> None:
        wallet = make_wallet(alpha, 100_000)
        plan = make_plan("team", tokens_per_hour_mtok=1_000)
        put_on(alpha, plan)
        assert hold(wallet, 1_001) == "refused"
        make_plan("team", position=plan.position, tokens_per_hour_mtok=2_000)
        assert hold(wallet, 1_001) == "held"
        with platform_scope("test"):
            Plan.objects.filter(key="team").update(tokens_per_hour_mtok=3_000)
        assert keep_ceilings(now=NOW) == 1
        assert keep_ceilings(now=NOW) == 0
        assert hold(wallet, 1_999) == "held"

    def test_a_sub_token_opened_later_stands_under_it(self, alpha: Organization) -> None:
        make_wallet(alpha, 100_000)
        put_on(alpha, make_plan(tokens_per_hour_mtok=1_000))
        with organization_scope(alpha.id):
            wallet = Account.objects.get(kind=AccountKind.ORG_WALLET)
        assert hold(make_account(wallet, 5_000), 1_001) == "refused"


class TestBoost:
    """All ceilings times a factor, from one moment to another."""

    def test_it_raises_every_ceiling_and_ends_exactly(self, alpha: Organization) -> None:
        wallet = make_wallet(alpha, 100_000)
        put_on(alpha, make_plan(tokens_per_hour_mtok=1_000))
        make_boost(alpha, "2.5", starts_at=NOW + timedelta(minutes=1), hours=0.25)
        begin, end = NOW + timedelta(minutes=1), NOW + timedelta(minutes=16)
        just = timedelta(microseconds=1)
        assert hold(wallet, 1_001, now=begin - just) == "refused"
        assert hold(wallet, 2_501, now=begin) == "refused"
        assert hold(wallet, 2_499, now=begin) == "held"
        assert hold(wallet, 1, now=end - just) == "held"
        assert hold(wallet, 1, now=end) == "refused"

    def test_a_copy_of_a_credential_does_not_outlive_it(
        self, alpha: Organization, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(credentials, "CACHE_SECONDS", math.inf)
        make_wallet(alpha, 1_000)
        put_on(alpha, make_plan(requests_per_second=Decimal("1"), concurrency=3))
        boost = make_boost(alpha, "10", starts_at=timezone.now() - timedelta(hours=1), hours=2)
        secret = make_sub_token(alpha)[1]
        found = credential_for_secret(secret)
        assert found
        assert found.plan
        assert (found.plan.requests_per_second, found.plan.concurrency) == (10.0, 30)
        # The database says so from then on; the copy is young enough, and knows until when it holds.
        with organization_scope(alpha.id):
            Boost.objects.filter(id=boost.id).update(paid_until=boost.starts_at, ends_at=boost.starts_at)
        just = timedelta(microseconds=1)
        monkeypatch.setattr(credentials, "timezone", SimpleNamespace(now=lambda: boost.ends_at - just))
        assert credential_for_secret(secret) is found
        monkeypatch.setattr(credentials, "timezone", SimpleNamespace(now=lambda: boost.ends_at))
        after = credential_for_secret(secret)
        assert after
        assert after.plan
        assert (after.plan.requests_per_second, after.plan.concurrency) == (1.0, 3)

    def test_one_that_was_paid_for_and_has_not_begun_raises_nothing(self, alpha: Organization) -> None:
        make_wallet(alpha, 1_000)
        put_on(alpha, make_plan(requests_per_second=Decimal("1")))
        begins_at = timezone.now() + timedelta(hours=1)
        make_boost(alpha, "10", starts_at=begins_at)
        sub_token, _ = make_sub_token(alpha)
        forget_credentials()
        with organization_scope(alpha.id):
            found = credential_for_sub_token(alpha.id, sub_token.id)
        assert found
        assert found.plan
        assert found.plan.requests_per_second == 1.0
        assert found.plan.changes_at == begins_at
