"""The plan's pages and API, and the pricing page, as people and programs use them."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from billing.models import Boost, BoostOffer, Payment
from billing.queries.estimates import cheapest, on_sale
from billing.services.boosts import end_boost, end_refunded_boosts
from portal.views.pricing import Assumed, break_even, compare
from tenants.actors import PLATFORM
from tenants.models import Organization, User
from tenants.permissions import MANAGEMENT_KEY_SCOPES, Permission
from tenants.scope import organization_scope
from tenants.services.management_keys import create_management_key
from tests.billing.plans.buying import Customer
from tests.factories.billing import make_grant, make_wallet
from tests.factories.plans import put_on
from tests.stripe_standin import DISPUTED, PAID

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("fresh_process")]
SERVERS = Assumed("s", 640, Decimal(4), Decimal(3500), Decimal(60), Decimal(6), Decimal(150))


@pytest.fixture
def owner(client: Client, alice: User) -> Client:
    client.force_login(alice)
    return client


@pytest.fixture
def api(client: Client, alpha: Organization) -> Any:
    with organization_scope(alpha.id):
        _, secret = create_management_key(
            organization_id=alpha.id, name="Scripts", scopes=MANAGEMENT_KEY_SCOPES, allowed=frozenset(Permission),
            actor=PLATFORM, now=timezone.now(),
        )  # fmt: skip

    def call(method: str, path: str, body: Any = None, **headers: str) -> Any:
        return client.generic(
            method,
            f"/v1/{path}",
            data=b"" if body is None else json.dumps(body),
            content_type="application/json",
            headers={"Authorization": f"Bearer {secret}", **headers},
        )

    return call


def fields_of(page: str) -> dict[str, str]:
    return dict(re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)"', page))


def test_a_person_subscribes_upgrades_and_cancels_on_the_pages(owner: Client, customer: Customer) -> None:
    make_grant(customer.organization, 12_345_000)
    page = owner.get("/o/alpha/billing/plan/").content.decode()
    assert "Your plan" in page
    assert "?plan=basic&amp;currency=CNY" in page
    shown = owner.get("/o/alpha/billing/plan/change/?plan=basic&currency=CNY").content.decode()
    assert "99.00 CNY" in shown
    assert "10,000 Tokens come" in shown
    assert "12,345" in shown, "the balance, in the frame around it"
    leaving = owner.post("/o/alpha/billing/plan/change/", fields_of(shown)).content.decode()
    (url,) = set(re.findall(r'href="(http[^"]+/c/pay/[^"]+)"', leaving))
    assert customer.standin.pay(url, PAID).went_on
    page = owner.get("/o/alpha/billing/plan/?back=paid").content.decode()
    assert '<h2 id="own-title" class="grow">Basic</h2>' in page

    shown = owner.get("/o/alpha/billing/plan/change/?plan=advanced").content.decode()
    (amount,) = re.findall(r"Pay ([\d.,]+ CNY) and upgrade", shown)
    answer = owner.post("/o/alpha/billing/plan/change/", fields_of(shown), follow=True).content.decode()
    assert "The plan is in force." in answer
    assert customer.payments()[-1].total == amount

    shown = owner.get("/o/alpha/billing/plan/change/?plan=free").content.decode()
    assert "Cancel Advanced" in shown
    answer = owner.post("/o/alpha/billing/plan/change/", fields_of(shown), follow=True).content.decode()
    assert "Until then you can take it back." in answer
    assert "The plan changes to Free" in owner.get("/o/alpha/billing/").content.decode()
    answer = owner.post("/o/alpha/billing/plan/resume/", follow=True).content.decode()
    assert customer.state() == ("advanced", "active", None)


def test_what_was_shown_and_is_out_of_date_is_not_charged(owner: Client, customer: Customer) -> None:
    customer.subscribe("basic")
    shown = fields_of(owner.get("/o/alpha/billing/plan/change/?plan=advanced").content.decode())
    answer = owner.post(
        "/o/alpha/billing/plan/change/", shown | {"expected_minor": int(shown["expected_minor"]) - 1}, follow=True
    )
    assert "out of date" in answer.content.decode()
    assert customer.state()[0] == "basic"


def test_who_may_not_buy_sees_who_may(client: Client, bob: User, customer: Customer) -> None:
    client.force_login(bob)
    page = client.get("/o/alpha/billing/plan/").content.decode()
    assert "Your role cannot change the plan." in page
    assert "alice@alpha.example" in page
    assert "plan/change/" not in page
    assert client.get("/o/alpha/billing/plan/change/?plan=basic").status_code == 403
    assert client.post("/o/alpha/billing/boosts/").status_code == 403


def test_without_a_key_buying_is_off_and_the_page_says_so(owner: Client, alpha: Organization, settings: Any) -> None:
    settings.STRIPE_SECRET_KEY = ""
    make_wallet(alpha)
    put_on(alpha, "free")
    assert "Buying is not set up" in owner.get("/o/alpha/billing/plan/").content.decode()


def test_a_program_does_the_same(api: Any, customer: Customer) -> None:
    plans = api("GET", "plans").json()
    assert [plan["plan"] for plan in plans["plans"]] == ["free", "basic", "advanced", "enterprise"]
    assert api("GET", "plan").json()["plan"]["plan"] == "free"
    preview = api("POST", "plan/preview", {"plan": "basic", "currency": "USD"}).json()
    assert (preview["kind"], preview["today_minor"], preview["today_tokens"]) == ("subscribe", 14_00, 10_000)
    change = api("POST", "plan", {"plan": "basic", "currency": "USD"}).json()
    assert change["state"] == "payment_needed"
    customer.standin.pay(change["payment_url"])
    customer.hear()
    preview = api("POST", "plan/preview", {"plan": "advanced"}).json()
    asked = {"plan": "advanced", "as_of": preview["as_of"], "expected_minor": preview["today_minor"]}
    assert api("POST", "plan", asked).json() == {"state": "done", "payment_url": ""}
    assert api("POST", "plan", asked).status_code == 409
    assert customer.payments()[-1].total_minor == preview["today_minor"]
    assert customer.plan_tokens()[-1] == preview["today_tokens"] * 1000
    assert api("POST", "plan/cancel").json()["state"] == "scheduled"
    own = api("GET", "plan").json()
    assert (own["plan"]["plan"], own["next_plan"], own["currency"]) == ("advanced", "free", "USD")
    assert api("POST", "plan/resume").json()["state"] == "done"
    assert api("POST", "plan/resume").status_code == 409
    assert api("POST", "plan", {"plan": "nothing"}).status_code == 422
    assert api("POST", "plan", {"plan": "enterprise"}).status_code == 409
    assert api("POST", "plan", {"plan": "basic", "more": 1}).status_code == 422


def test_the_payment_service_away_is_said_and_changes_nothing(api: Any, customer: Customer) -> None:
    customer.subscribe("basic")
    customer.standin.go_away(50)
    assert api("POST", "plan", {"plan": "advanced"}).status_code in (502, 503)
    customer.standin.control("away", requests=0)
    assert customer.state() == ("basic", "active", None)
    assert api("POST", "plan", {"plan": "advanced"}).json()["state"] == "done"


class TestBoost:
    """A boost is raised by its payment alone, follows another one, and falls with its money."""

    def buy(self, customer: Customer, api: Any, key: str = "one") -> Payment:
        offer = BoostOffer.objects.get(name="Double for 4 hours", currency="CNY")
        answer = api("POST", "boosts", {"boost": str(offer.id)}, **{"Idempotency-Key": key})
        assert answer.status_code == 201, answer.content
        with organization_scope(customer.id):
            return Payment.objects.get(id=answer.json()["id"])

    def boosts(self, customer: Customer) -> list[Boost]:
        with organization_scope(customer.id):
            return list(Boost.objects.exclude(starts_at=None).order_by("starts_at"))

    def test_it_begins_when_it_is_paid(self, customer: Customer, api: Any) -> None:
        payment = self.buy(customer, api)
        assert self.boosts(customer) == []
        assert self.buy(customer, api).id == payment.id, "the same key is the same payment"
        assert customer.standin.pay(payment.checkout_url).went_on
        before = timezone.now()
        customer.hear()
        customer.hear(again=True)
        (boost,) = self.boosts(customer)
        assert boost.starts_at
        assert boost.ends_at
        assert boost.starts_at >= before
        assert (boost.ends_at - boost.starts_at).total_seconds() == 4 * 3600
        (shown,) = api("GET", "boosts").json()["boosts"]
        assert shown["factor"] == 2.0

    def test_a_second_one_begins_when_the_first_ends(self, customer: Customer, api: Any) -> None:
        for key in ("one", "two"):
            assert customer.standin.pay(self.buy(customer, api, key).checkout_url).went_on
        customer.hear()
        first, second = self.boosts(customer)
        assert second.starts_at == first.ends_at

    def test_money_that_goes_back_ends_it(self, customer: Customer, api: Any) -> None:
        payment = self.buy(customer, api)
        customer.standin.pay(payment.checkout_url)
        customer.hear()
        now = timezone.now()
        with organization_scope(customer.id):
            for _ in range(2):
                end_boost(payment, now=now)
        (boost,) = self.boosts(customer)
        assert boost.ends_at == now
        assert api("GET", "boosts").json()["boosts"] == []

    def test_a_refund_at_stripe_ends_it(self, customer: Customer, api: Any) -> None:
        payment = self.buy(customer, api)
        customer.standin.pay(payment.checkout_url)
        customer.hear()
        with organization_scope(customer.id):
            payment.refresh_from_db()
        customer.standin.client().v1.refunds.create({"payment_intent": payment.payment_intent_id, "amount": 100})
        customer.hear()
        assert api("GET", "boosts").json()["boosts"] == []

    def test_a_dispute_ends_it(self, customer: Customer, api: Any) -> None:
        payment = self.buy(customer, api)
        customer.standin.pay(payment.checkout_url, DISPUTED)
        customer.hear()
        customer.hear()
        (boost,) = self.boosts(customer)
        assert boost.paid_until
        assert boost.ends_at
        assert boost.ends_at < boost.paid_until

    def test_the_clock_ends_what_was_refunded(self, customer: Customer, api: Any) -> None:
        payment = self.buy(customer, api)
        customer.standin.pay(payment.checkout_url)
        customer.hear()
        now = timezone.now()
        assert end_refunded_boosts(now=now) == 0
        with organization_scope(customer.id):
            Payment.objects.filter(id=payment.id).update(refunded_minor=1)
        assert end_refunded_boosts(now=now) == 1
        assert end_refunded_boosts(now=now) == 0
        assert self.boosts(customer)[0].ends_at == now

    def test_one_that_is_not_paid_raises_nothing(self, customer: Customer, api: Any) -> None:
        payment = self.buy(customer, api)
        customer.standin.pay(payment.checkout_url, "4000000000000002")
        customer.hear()
        assert self.boosts(customer) == []


class TestPricing:
    """The public page, and its calculator."""

    def test_everybody_sees_it(self, client: Client) -> None:
        page = client.get("/pricing/").content.decode()
        for word in ("Free", "Basic", "Advanced", "Enterprise", "99.00 CNY", "Starter", "GPU server"):
            assert word in page
        page = client.get("/pricing/?currency=USD").content.decode()
        assert "14.00 USD" in page

    def test_the_calculator_answers_alone_and_refuses_nonsense(self, client: Client) -> None:
        sent = {
            "images_per_day": "1000", "letter": "s", "img_size": "640", "peak": "4", "server_price": "3500",
            "server_speed": "60", "care_hours": "6", "care_price": "150", "currency": "CNY",
        }  # fmt: skip
        answer = client.get("/pricing/", sent, headers={"HX-Request": "true"}).content.decode()
        assert "<html" not in answer
        assert "30,000" in answer
        answer = client.get("/pricing/", sent | {"server_speed": "0"}, headers={"HX-Request": "true"}).content.decode()
        assert "positive number in every field" in answer

    def test_it_reckons_by_the_price_book_the_plans_and_the_tiers(self) -> None:
        sale = on_sale("CNY")
        small = compare(300, SERVERS, sale)
        assert (small.image_mtok, small.month_mtok) == (1_000, 9_000_000)
        assert (small.servers, small.own_minor) == (1, 3500_00 + 900_00)
        assert small.estimate
        assert small.estimate.plan.key in {"free", "basic"}
        large = compare(50_000, SERVERS, sale)
        assert large.estimate
        assert large.estimate.plan.key == "advanced", "4 x 50,000 images a day are 2.3 per second"
        huge = compare(50_000_000, SERVERS, sale)
        assert huge.estimate is None
        assert huge.servers == 39

    def test_it_says_from_where_on_servers_cost_less(self, client: Client) -> None:
        sale = on_sale("CNY")
        even = break_even(SERVERS, sale)
        assert even
        assert 1_000 < even < 50_000
        below, above = compare(even * 95 // 100, SERVERS, sale), compare(even * 115 // 100, SERVERS, sale)
        assert below.saved_minor
        assert above.saved_minor
        assert below.saved_minor > 0 > above.saved_minor
        assert above.more_minor == -above.saved_minor
        assert break_even(replace(SERVERS, server_price=Decimal(0), care_price=Decimal(0)), sale) is None
        page = client.get("/pricing/?currency=CNY").content.decode()
        assert "The Token costs" in page, "what is typical is cheaper by the Token"
        sent = {
            "images_per_day": "50000", "letter": "s", "img_size": "640", "peak": "4", "server_price": "3500",
            "server_speed": "60", "care_hours": "6", "care_price": "150", "currency": "CNY",
        }  # fmt: skip
        answer = client.get("/pricing/", sent, headers={"HX-Request": "true"}).content.decode()
        assert "rented servers cost" in answer
        assert f"Up to about {even:,} images a day" in answer

    def test_nothing_cheaper_is_overlooked(self) -> None:
        found = cheapest(
            month_mtok=10_000_000, peak_per_second=Decimal("0.1"), peak_hour_mtok=1000, sale=on_sale("CNY")
        )
        assert found
        assert found.total_minor <= 99_00
