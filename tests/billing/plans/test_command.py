"""`manage.py plans`: plans and boosts are data that an operator edits."""

from __future__ import annotations

import io

import pytest
from django.core.management import CommandError, call_command

from billing.models import BoostOffer, Plan
from billing.queries.plans import boost_offers, initial_plan, plans_listed, subscription
from tenants.models import Organization
from tenants.scope import organization_scope, platform_scope
from tests.factories.billing import make_wallet

pytestmark = pytest.mark.django_db


def plans(*arguments: str) -> str:
    out = io.StringIO()
    call_command("plans", *arguments, stdout=out)
    return out.getvalue()


def test_the_first_plans_are_those_that_are_sold() -> None:
    assert [plan.key for plan in plans_listed()] == ["free", "basic", "advanced", "enterprise"]
    rates = {plan.key: plan.requests_per_second for plan in plans_listed()}
    assert (rates["basic"], rates["advanced"]) == (1, 10)
    assert {price.currency for price in Plan.objects.get(key="basic").prices.all()} == {"CNY", "USD"}
    assert not Plan.objects.get(key="free").prices.exists()
    assert boost_offers("CNY").count() == 2


def test_a_plan_is_offered_changed_and_retired() -> None:
    offered = ("set", "studio", "--name", "Studio", "--position", "25", "--monthly", "2000.5", "--hourly", "500")
    said = plans(*offered, "--requests-per-second", "2.5", "--concurrency", "6", "--cny", "199", "--usd", "27.50")
    assert "2,000.500/month" in said
    assert "199.00 CNY, 27.50 USD" in said
    plan = Plan.objects.get(key="studio")
    assert (plan.monthly_mtok, plan.tokens_per_hour_mtok, plan.concurrency) == (2_000_500, 500_000, 6)
    with platform_scope("test"):
        plan.prices.update(stripe_id="price_old")
    plans(*offered, "--cny", "199", "--usd", "30")
    prices = {price.currency: (price.price_minor, price.stripe_id) for price in plan.prices.all()}
    assert prices == {"CNY": (199_00, "price_old"), "USD": (30_00, "")}, "a new amount needs a new price at Stripe"
    assert "(retired)" in plans("retire", "studio")
    assert "studio" not in {plan.key for plan in plans_listed()}


@pytest.mark.parametrize(
    "arguments",
    [
        ("set", "studio", "--name", "Studio", "--position", "20"),
        ("set", "studio", "--name", "Studio", "--position", "25", "--weight", "0"),
        ("set", "studio", "--name", " ", "--position", "25"),
        ("set", "studio", "--name", "Studio", "--position", "25", "--cny", "0"),
        ("set", "studio", "--name", "Studio", "--position", "25", "--cny", "1.001"),
        ("set", "studio", "--name", "Studio", "--position", "25", "--requests-per-second", "-1"),
        ("retire", "free"),
        ("retire", "nothing"),
        ("initial", "basic"),
        ("initial", "nothing"),
        ("give", "nobody", "basic", "--reason", "test"),
        ("set-boost", "Half", "CNY", "--factor", "0.5", "--hours", "1", "--price", "1"),
        ("retire-boost", "Nothing", "CNY"),
    ],
)
def test_what_cannot_be_is_refused_and_changes_nothing(arguments: tuple[str, ...]) -> None:
    before = list(Plan.objects.order_by("key").values())
    with pytest.raises(CommandError):
        plans(*arguments)
    assert list(Plan.objects.order_by("key").values()) == before


def test_new_organizations_can_begin_on_another_plan(alpha: Organization) -> None:
    plans("initial", "enterprise")
    assert initial_plan().key == "enterprise"
    assert "(initial)" in plans("list")


def test_an_organization_is_put_on_a_plan(alpha: Organization) -> None:
    make_wallet(alpha)
    plans("give", "alpha", "basic", "--reason", "a pilot")
    with organization_scope(alpha.id):
        found = subscription()
        assert found
        assert (found.plan.key, found.by_staff) == ("basic", True)


def test_boosts_are_sold_and_retired() -> None:
    plans("set-boost", "Triple", "USD", "--factor", "3", "--hours", "2", "--price", "4.20")
    offer = BoostOffer.objects.get(name="Triple")
    assert (offer.factor, offer.hours, offer.price_minor) == (3, 2, 4_20)
    plans("retire-boost", "Triple", "USD")
    assert not boost_offers("USD").filter(name="Triple").exists()
