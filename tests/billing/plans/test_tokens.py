"""The Tokens that plans give: exactly once for each period, and gone with it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from billing.enums import GrantSource
from billing.errors import PlanUnchanged, ReasonMissing
from billing.models import Grant, PlanPeriod, Subscription
from billing.periods import month_around, months_after
from billing.services.accounts import open_wallet
from billing.services.subscriptions import begin_due_periods, give_month, give_plan, locked_subscription
from tenants.actors import PLATFORM
from tenants.models import AuditEvent, Organization
from tenants.scope import organization_scope
from tests.factories.billing import NOW, assert_ledger_clean, make_wallet
from tests.factories.plans import make_plan, put_on

pytestmark = pytest.mark.django_db


def grants(organization: Organization) -> list[Grant]:
    with organization_scope(organization.id):
        return list(Grant.objects.filter(source=GrantSource.PLAN).order_by("created_at"))


def test_they_come_with_the_plan_and_expire_with_its_month(alpha: Organization) -> None:
    make_wallet(alpha)
    put_on(alpha, make_plan(monthly_mtok=5_000))
    (grant,) = grants(alpha)
    assert (grant.amount_mtok, grant.expires_at) == (5_000, months_after(NOW, 1))
    assert_ledger_clean()


def test_a_plan_may_let_them_live_longer(alpha: Organization) -> None:
    make_wallet(alpha)
    put_on(alpha, make_plan(monthly_mtok=5_000, tokens_valid_days=90))
    assert grants(alpha)[0].expires_at == NOW + timedelta(days=90)


def test_the_initial_plan_gives_its_first_month_when_the_wallet_is_opened(alpha: Organization) -> None:
    make_plan("free", name="Free", position=10, monthly_mtok=3_000)
    for _ in range(3):
        open_wallet(alpha.id, now=NOW)
    assert [grant.amount_mtok for grant in grants(alpha)] == [3_000]


def test_asking_again_gives_nothing_again_whatever_the_plan_says_by_then(alpha: Organization) -> None:
    make_wallet(alpha)
    plan = make_plan("team", monthly_mtok=5_000)
    put_on(alpha, plan)
    make_plan("team", position=plan.position, monthly_mtok=9_000)
    with organization_scope(alpha.id):
        for _ in range(3):
            give_month(locked_subscription(alpha.id), now=NOW + timedelta(days=3))
    assert [grant.amount_mtok for grant in grants(alpha)] == [5_000]
    assert begin_due_periods(now=NOW + timedelta(days=3)) == 0


def test_each_month_brings_them_once_and_months_unseen_are_not_made_up_for(alpha: Organization) -> None:
    make_wallet(alpha)
    put_on(alpha, make_plan(monthly_mtok=5_000))
    for _ in range(2):
        begin_due_periods(now=months_after(NOW, 1))
    assert len(grants(alpha)) == 2
    later = months_after(NOW, 4) + timedelta(days=2)
    for _ in range(2):
        begin_due_periods(now=later)
    assert [grant.expires_at for grant in grants(alpha)] == [months_after(NOW, n) for n in (1, 2, 5)]
    with organization_scope(alpha.id):
        found = Subscription.objects.get()
        assert (found.period_starts_at, found.period_ends_at) == (months_after(NOW, 4), months_after(NOW, 5))
        assert PlanPeriod.objects.count() == 4, "the first month of Enterprise, which gives none, is one"


def test_what_staff_give_has_a_reason_and_stands_in_the_audit_log(alpha: Organization) -> None:
    make_wallet(alpha)
    plan = make_plan("special")
    put_on(alpha, plan)
    with pytest.raises(PlanUnchanged):
        put_on(alpha, plan)
    with organization_scope(alpha.id):
        event = AuditEvent.objects.get(action="plan.changed")
        assert (event.before, event.after, event.reason) == ({"plan": "enterprise"}, {"plan": "special"}, "test")
    with pytest.raises(ReasonMissing):
        give_plan(organization_id=alpha.id, plan_key="free", reason=" ", actor=PLATFORM, now=NOW)


@pytest.mark.parametrize(
    ("anchor", "now", "begin", "end"),
    [
        ((1, 31), (2, 28), (2, 28), (3, 31)),
        ((1, 31), (2, 27), (1, 31), (2, 28)),
        ((1, 15), (1, 15), (1, 15), (2, 15)),
        ((1, 15), (12, 14), (11, 15), (12, 15)),
    ],
)
def test_months_are_counted_from_the_first_day(
    anchor: tuple[int, int], now: tuple[int, int], begin: tuple[int, int], end: tuple[int, int]
) -> None:
    def day(of: tuple[int, int]) -> datetime:
        return datetime(2026, *of, 8, 30, tzinfo=UTC)

    assert month_around(day(anchor), day(now)) == (day(begin), day(end))
