"""Buying over the API and on the pages: what they answer, to whom, and that both do the same."""

from __future__ import annotations

from http import HTTPStatus

import pytest
from django.test import Client
from pytest_django.fixtures import Settings

from billing.enums import Currency
from billing.models import Payment
from tenants.models import Organization, Role, User
from tenants.permissions import Permission
from tenants.scope import organization_scope
from tests.api_client import body, manager_of
from tests.billing.payments.buying import begin, deliver, grants_of
from tests.factories.billing import make_wallet
from tests.factories.payments import payment_now
from tests.factories.tenants import make_membership
from tests.stripe_standin import StandIn

pytestmark = pytest.mark.django_db


class TestTheApi:
    def test_from_begin_to_grant(self, standin: StandIn, alpha: Organization) -> None:
        make_wallet(alpha)
        caller = manager_of(alpha)
        answer = caller.post("/v1/topups", {"tokens": 1000, "currency": "CNY"}, Idempotency_Key="order-1")
        assert answer.status_code == HTTPStatus.CREATED, answer.content
        begun = body(answer)
        assert (begun["status"], begun["tokens"], begun["amount_minor"]) == ("open", 1000, 1000)
        standin.pay(begun["checkout_url"])
        deliver(standin)
        shown = body(caller.get(f"/v1/topups/{begun['id']}"))
        assert (shown["status"], shown["checkout_url"]) == ("paid", "")
        assert shown["grant"] in [grant["id"] for grant in body(caller.get("/v1/grants"))["data"]]
        assert [row["id"] for row in body(caller.get("/v1/topups"))["data"]] == [begun["id"]]

    def test_a_post_that_comes_twice_is_charged_once(self, standin: StandIn, alpha: Organization) -> None:
        caller = manager_of(alpha)
        order = {"tokens": 1000, "currency": "CNY"}
        first = caller.post("/v1/topups", order, Idempotency_Key="order-1")
        second = caller.post("/v1/topups", order, Idempotency_Key="order-1")
        assert body(first) == body(second)
        assert second["Idempotent-Replayed"] == "true"
        other = caller.post("/v1/topups", {"tokens": 2000, "currency": "CNY"}, Idempotency_Key="order-1")
        assert body(other)["code"] == "idempotency_mismatch"
        assert len(standin.client().v1.checkout.sessions.list().data) == 1

    @pytest.mark.parametrize(
        "order",
        [
            {},
            {"tokens": 1000},
            {"tokens": 1, "currency": "CNY"},
            {"tokens": 1000.5, "currency": "CNY"},
            {"tokens": 1000, "currency": "EUR"},
            {"package": "019aa3b2-7c1e-7c3a-9a55-0d5a3b6c1f10"},
            {"package": "019aa3b2-7c1e-7c3a-9a55-0d5a3b6c1f10", "tokens": 1000, "currency": "CNY"},
        ],
    )
    def test_what_makes_no_sense_is_said_so(self, order: dict, standin: StandIn, alpha: Organization) -> None:
        answer = manager_of(alpha).post("/v1/topups", order)
        assert answer.status_code == HTTPStatus.UNPROCESSABLE_ENTITY
        assert body(answer)["errors"]
        with organization_scope(alpha.id):
            assert not Payment.objects.exists()

    def test_while_stripe_is_away_it_says_to_try_again_and_then_works(
        self, standin: StandIn, alpha: Organization
    ) -> None:
        caller = manager_of(alpha)
        standin.go_away(3)
        order = {"tokens": 1000, "currency": "CNY"}
        answer = caller.post("/v1/topups", order, Idempotency_Key="order-1")
        assert (answer.status_code, body(answer)["code"]) == (HTTPStatus.SERVICE_UNAVAILABLE, "gateway_away")
        assert answer["Retry-After"]
        assert caller.post("/v1/topups", order, Idempotency_Key="order-1").status_code == HTTPStatus.CREATED

    def test_without_a_key_of_stripe_s_it_says_so(self, alpha: Organization, settings: Settings) -> None:
        settings.STRIPE_SECRET_KEY = ""
        answer = manager_of(alpha).post("/v1/topups", {"tokens": 1000, "currency": "CNY"})
        assert (answer.status_code, body(answer)["code"]) == (
            HTTPStatus.SERVICE_UNAVAILABLE,
            "payments_unavailable",
        )

    def test_the_price_is_told_before(self, db: None, alpha: Organization) -> None:
        caller = manager_of(alpha, Permission.GRANTS_VIEW)
        answer = body(caller.get("/v1/topups/price", tokens="9900", currency="CNY"))
        assert (answer["amount_minor"], answer["cheaper"]["amount_minor"]) == (99_00, 95_00)
        assert caller.get("/v1/topups/price", tokens="many", currency="CNY").status_code == 422

    def test_giving_up(self, standin: StandIn, alpha: Organization) -> None:
        caller = manager_of(alpha)
        begun = body(caller.post("/v1/topups", {"tokens": 1000, "currency": "CNY"}))
        assert body(caller.post(f"/v1/topups/{begun['id']}/cancel"))["status"] == "expired"
        assert caller.post(f"/v1/topups/{begun['id']}/cancel").status_code == HTTPStatus.CONFLICT


class TestThePages:
    @pytest.fixture
    def owner(self, client: Client, alpha: Organization, alice: User) -> Client:
        make_wallet(alpha)
        client.force_login(alice)
        return client

    def test_choose_go_pay_and_come_back(self, standin: StandIn, owner: Client, alpha: Organization) -> None:
        page = owner.get("/o/alpha/billing/top-up/")
        key = page.context["form"]["key"].value()
        chosen = owner.post("/o/alpha/billing/top-up/", {"key": key, "currency": "CNY", "tokens": "1000"})
        leaving = owner.get(chosen["Location"]).content.decode()
        with organization_scope(alpha.id):
            payment = Payment.objects.get()
        assert f'content="0; url={payment.checkout_url}"' in leaving
        # Sent twice it is the same payment.
        owner.post("/o/alpha/billing/top-up/", {"key": key, "currency": "CNY", "tokens": "1000"})
        with organization_scope(alpha.id):
            assert Payment.objects.count() == 1
        back = standin.pay(payment.checkout_url).location
        assert back is not None
        # No webhook came: the page itself asks Stripe.
        assert "Paid, and the Tokens are here" in owner.get("/" + back.split("/", 3)[3]).content.decode()
        assert len(grants_of(alpha)) == 1
        home = owner.get("/o/alpha/billing/").content.decode()
        assert payment_now(payment.id, alpha).total in home
        assert "Visa ···· 4242" in home

    def test_coming_back_without_paying(self, standin: StandIn, owner: Client, alpha: Organization) -> None:
        payment = begin(alpha)
        page = f"/o/alpha/billing/payments/{payment.id}/"
        assert "Cancelled, nothing was charged" in owner.get(f"{page}?back=cancelled").content.decode()
        assert "Not paid yet" in owner.get(page).content.decode()
        owner.post(f"{page}cancel/")
        assert "Expired, nothing was charged" in owner.get(page).content.decode()

    def test_waiting_for_the_bank(self, standin: StandIn, owner: Client, alpha: Organization) -> None:
        payment = begin(alpha, currency=Currency.USD)
        standin.pay(payment.checkout_url, method="settles")
        page = f"/o/alpha/billing/payments/{payment.id}/?back=paid"
        assert "We are waiting for your bank" in owner.get(page).content.decode()

    def test_while_stripe_is_away_the_page_goes_on_asking(
        self, standin: StandIn, owner: Client, alpha: Organization
    ) -> None:
        payment = begin(alpha)
        standin.go_away(3)
        page = f"/o/alpha/billing/payments/{payment.id}/?back=paid"
        text = owner.get(page, headers={"HX-Request": "true"}).content.decode()
        assert "we are checking your payment" in text
        assert 'hx-trigger="every 3s"' in text

    def test_who_may_not_buy_sees_who_may(self, standin: StandIn, client: Client, alpha: Organization) -> None:
        viewer = make_membership(alpha, role=Role.VIEWER).user
        client.force_login(viewer)
        text = client.get("/o/alpha/billing/top-up/").content.decode()
        assert "alice@alpha.example" in text
        answer = client.post("/o/alpha/billing/top-up/", {"currency": "CNY", "tokens": "1000"})
        assert answer.status_code == HTTPStatus.FORBIDDEN
        assert "Payments and invoices" not in client.get("/o/alpha/billing/").content.decode()

    @pytest.mark.parametrize("tokens", ["", "1", "0", "-5", "many", "999999999999"])
    def test_what_cannot_be_bought_stays_on_the_page_with_what_to_do(
        self, tokens: str, standin: StandIn, owner: Client, alpha: Organization
    ) -> None:
        key = owner.get("/o/alpha/billing/top-up/").context["form"]["key"].value()
        answer = owner.post("/o/alpha/billing/top-up/", {"key": key, "currency": "CNY", "tokens": tokens})
        assert answer.status_code == HTTPStatus.OK
        assert "invalid-feedback" in answer.content.decode()
        with organization_scope(alpha.id):
            assert not Payment.objects.exists()

    def test_without_a_key_of_stripe_s_it_says_so(self, owner: Client, alpha: Organization, settings: Settings) -> None:
        settings.STRIPE_SECRET_KEY = ""
        for page in ("/o/alpha/billing/top-up/", "/o/alpha/billing/"):
            assert "Buying is not set up on this server" in owner.get(page).content.decode()

    def test_payments_as_csv(self, standin: StandIn, owner: Client, alpha: Organization) -> None:
        payment = begin(alpha)
        lines = b"".join(owner.get("/o/alpha/billing/payments.csv")).decode().splitlines()  # type: ignore[arg-type]
        assert len(lines) == 2
        assert str(payment.id) in lines[1]
        assert "10.00" in lines[1]

    def test_details_are_changed_at_stripe(self, standin: StandIn, owner: Client, alpha: Organization) -> None:
        assert owner.post("/o/alpha/billing/details/")["Location"] == "/o/alpha/billing/"
        begin(alpha)
        leaving = owner.post("/o/alpha/billing/details/").content.decode()
        assert f'content="0; url={standin.url}' in leaving

    def test_details_are_asked_for_at_stripe(self, standin: StandIn, owner: Client, alpha: Organization) -> None:
        payment = begin(alpha)
        standin.pay(payment.checkout_url, country="DE")
        text = owner.get("/o/alpha/billing/details/", headers={"HX-Request": "true"}).content.decode()
        assert "buyer@alpha.example" in text
        assert "DE" in text
