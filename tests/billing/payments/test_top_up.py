"""Buying from end to end: by card, by bank, declined, given up, twice at once, and what the API and the pages say."""

from __future__ import annotations

from http import HTTPStatus

import pytest
from django.test import Client
from django.utils import timezone
from pytest_django.fixtures import Settings

from billing.enums import Currency, PaymentStatus
from billing.errors import (
    GatewayAway,
    IdempotencyMismatch,
    PaymentClosed,
    PaymentUnknown,
    TooManyPayments,
    TopUpInvalid,
)
from billing.gateways.stripe import client
from billing.models import BillingCustomer, Package, Payment
from billing.queries.top_ups import cheaper_offer, offer_of_amount, offer_of_package, price_of
from billing.services import topups
from billing.services.fulfilment import fulfil
from tenants.actors import PLATFORM
from tenants.models import Organization, OutboxMail, Role, User
from tenants.permissions import Permission
from tenants.scope import organization_scope
from tests.api_client import body, manager_of
from tests.billing.payments.buying import begin, deliver, grants_of
from tests.factories.billing import balance_of, make_wallet
from tests.factories.payments import payment_now
from tests.factories.tenants import make_membership
from tests.stripe_standin import DECLINED, SECURE_ALWAYS, StandIn

pytestmark = pytest.mark.django_db

PRICES = [(500, 5_00), (999, 9_99), (1_000, 10_00), (9_999, 99_99), (10_000, 95_00), (100_000, 880_00)]


@pytest.mark.parametrize(("tokens", "fen"), PRICES)
def test_the_whole_amount_has_the_price_of_its_step(tokens: int, fen: int, db: None) -> None:
    offer = offer_of_amount(tokens_mtok=tokens * 1000, currency=Currency.CNY)
    assert offer.amount_minor == fen


def test_a_part_of_the_smallest_coin_is_a_whole_one() -> None:
    assert price_of(1_001_000, 1000) == 1001
    assert price_of(1_000, 950) == 1
    assert price_of(1, 1) == 1


def test_more_for_less_is_said(db: None) -> None:
    offer = cheaper_offer(offer_of_amount(tokens_mtok=9_900_000, currency=Currency.CNY))
    assert offer is not None
    assert (offer.tokens_mtok, offer.amount_minor) == (10_000_000, 95_00)
    assert cheaper_offer(offer_of_amount(tokens_mtok=1_000_000, currency=Currency.CNY)) is None


@pytest.mark.parametrize(
    ("tokens_mtok", "currency", "field"),
    [
        (499_000, "CNY", "tokens"),
        (1_000_500, "CNY", "tokens"),
        (10**15, "CNY", "tokens"),
        (1_000_000, "EUR", "currency"),
    ],
)
def test_what_is_not_sold(tokens_mtok: int, currency: str, field: str, db: None) -> None:
    with pytest.raises(TopUpInvalid) as refused:
        offer_of_amount(tokens_mtok=tokens_mtok, currency=currency)
    assert refused.value.field == field


class TestPaying:
    def test_by_card(self, standin: StandIn, alpha: Organization) -> None:
        wallet = make_wallet(alpha)
        payment = begin(alpha, 1000)
        assert payment.checkout_url.startswith(standin.url)
        assert standin.pay(payment.checkout_url, country="CN").went_on
        paid = fulfil(checkout_session_id=payment.checkout_session_id, now=timezone.now())
        assert paid.status == PaymentStatus.PAID
        assert paid.amount_minor == 10_00
        assert paid.total_minor == 10_00 + paid.tax_minor
        assert paid.method == "visa 4242"
        assert paid.receipt_url.startswith(standin.url)
        assert balance_of(wallet, now=timezone.now()).available_mtok == 1_000_000

    def test_tax_is_added_and_kept(self, standin: StandIn, alpha: Organization) -> None:
        make_wallet(alpha)
        payment = begin(alpha, 1000, currency=Currency.USD)
        standin.pay(payment.checkout_url, country="DE")
        paid = fulfil(checkout_session_id=payment.checkout_session_id, now=timezone.now())
        found = standin.client().v1.payment_intents.retrieve(paid.payment_intent_id)
        assert paid.tax_minor > 0
        assert paid.total_minor == found.amount_received

    def test_a_declined_card_brings_nothing_and_another_one_may_be_tried(
        self, standin: StandIn, alpha: Organization
    ) -> None:
        make_wallet(alpha)
        payment = begin(alpha)
        assert not standin.pay(payment.checkout_url, DECLINED).went_on
        deliver(standin)
        assert payment_now(payment.id, alpha).status == PaymentStatus.OPEN
        assert grants_of(alpha) == []
        assert standin.pay(payment.checkout_url).went_on
        deliver(standin)
        assert len(grants_of(alpha)) == 1

    @pytest.mark.parametrize(("passed", "count"), [(True, 1), (False, 0)])
    def test_3d_secure(self, passed: bool, count: int, standin: StandIn, alpha: Organization) -> None:
        make_wallet(alpha)
        payment = begin(alpha)
        standin.pay(payment.checkout_url, SECURE_ALWAYS, secure=passed)
        deliver(standin)
        assert len(grants_of(alpha)) == count

    @pytest.mark.parametrize(("succeeds", "status"), [(True, PaymentStatus.PAID), (False, PaymentStatus.FAILED)])
    def test_by_bank_it_takes_days(self, succeeds: bool, status: str, standin: StandIn, alpha: Organization) -> None:
        make_wallet(alpha)
        payment = begin(alpha, currency=Currency.USD)
        standin.pay(payment.checkout_url, method="settles")
        deliver(standin)
        waiting = payment_now(payment.id, alpha)
        assert waiting.status == PaymentStatus.PROCESSING
        assert grants_of(alpha) == []
        standin.settle(waiting.payment_intent_id, succeeds=succeeds)
        deliver(standin)
        assert payment_now(payment.id, alpha).status == status
        assert len(grants_of(alpha)) == int(succeeds)
        # Told again it is one mail; who is no longer on the page must hear of it.
        deliver(standin)
        with organization_scope(alpha.id):
            mail = OutboxMail.objects.get()
        assert (mail.kind, mail.recipient) == (f"payment_{status}", "alice@alpha.example")
        assert str(payment.id) in mail.context["button_url"]

    def test_what_may_be_paid_with_can_be_narrowed(
        self, standin: StandIn, alpha: Organization, settings: Settings
    ) -> None:
        settings.STRIPE_PAYMENT_METHODS = ["card"]
        payment = begin(alpha)
        found = standin.client().v1.checkout.sessions.retrieve(payment.checkout_session_id)
        assert found.payment_method_types == ["card"]

    def test_an_organization_is_one_customer(self, standin: StandIn, alpha: Organization) -> None:
        make_wallet(alpha)
        begin(alpha)
        begin(alpha)
        with organization_scope(alpha.id):
            customer = BillingCustomer.objects.get()
        (found,) = standin.client().v1.customers.list().data
        assert found.id == customer.stripe_id
        assert found.metadata["organization"] == str(alpha.id)

    def test_a_package_is_sold_as_it_was(self, standin: StandIn, alpha: Organization) -> None:
        make_wallet(alpha)
        package = Package.objects.get(name="Starter", currency=Currency.CNY)
        payment = topups.begin_top_up(
            organization_id=alpha.id,
            offer=offer_of_package(package.id),
            buyer=topups.Buyer(PLATFORM, "buyer@alpha.example", "zh-hans"),
            now=timezone.now(),
        )
        standin.pay(payment.checkout_url)
        deliver(standin)
        (grant,) = grants_of(alpha)
        assert grant.reason == "Starter"
        assert grant.expires_at is not None
        assert (grant.expires_at - grant.created_at).days == package.valid_days


class TestGivingUp:
    def test_what_is_given_up_cannot_be_paid_any_more(self, standin: StandIn, alpha: Organization) -> None:
        payment = begin(alpha)
        given = topups.cancel_top_up(
            organization_id=alpha.id, payment_id=payment.id, actor=PLATFORM, now=timezone.now()
        )
        assert given.status == PaymentStatus.EXPIRED
        assert standin.pay(payment.checkout_url).status == HTTPStatus.GONE
        with pytest.raises(PaymentClosed):
            topups.cancel_top_up(organization_id=alpha.id, payment_id=payment.id, actor=PLATFORM, now=timezone.now())

    def test_what_was_paid_meanwhile_is_credited_instead(self, standin: StandIn, alpha: Organization) -> None:
        make_wallet(alpha)
        payment = begin(alpha)
        standin.pay(payment.checkout_url)
        given = topups.cancel_top_up(
            organization_id=alpha.id, payment_id=payment.id, actor=PLATFORM, now=timezone.now()
        )
        assert given.status == PaymentStatus.PAID
        assert len(grants_of(alpha)) == 1

    def test_another_organization_can_give_up_nothing(
        self, standin: StandIn, alpha: Organization, beta: Organization
    ) -> None:
        payment = begin(alpha)
        with pytest.raises(PaymentUnknown):
            topups.cancel_top_up(organization_id=beta.id, payment_id=payment.id, actor=PLATFORM, now=timezone.now())
        assert payment_now(payment.id, alpha).status == PaymentStatus.OPEN


class TestTheSameAgain:
    def test_the_same_key_is_the_same_payment_and_the_same_page(self, standin: StandIn, alpha: Organization) -> None:
        first, second = begin(alpha, key="order-1"), begin(alpha, key="order-1")
        assert (first.id, first.checkout_url) == (second.id, second.checkout_url)
        assert len(standin.client().v1.checkout.sessions.list().data) == 1
        with pytest.raises(IdempotencyMismatch):
            begin(alpha, 2000, key="order-1")

    def test_after_a_lost_answer_it_goes_on_where_it_was(
        self, standin: StandIn, alpha: Organization, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Stripe made the session, and its answer was lost: the same again finds it."""
        begin(alpha, key="warm-up")
        monkeypatch.setattr(client, "RETRIES", 0)
        client.forget_clients()
        standin.go_away(1, after=True)
        with pytest.raises(GatewayAway):
            begin(alpha, key="order-1")
        (lost, _) = standin.client().v1.checkout.sessions.list().data
        payment = begin(alpha, key="order-1")
        client.forget_clients()
        assert payment.checkout_session_id == lost.id
        with organization_scope(alpha.id):
            assert Payment.objects.filter(idempotency_key="order-1").count() == 1

    def test_a_flood_of_payments_that_nobody_makes_is_stopped(
        self, standin: StandIn, alpha: Organization, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(topups, "MOST_UNPAID", 2)
        begin(alpha)
        begin(alpha)
        with pytest.raises(TooManyPayments):
            begin(alpha)


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
        assert "visa 4242" in home

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
        assert "We wait for your bank" in owner.get(page).content.decode()

    def test_while_stripe_is_away_the_page_goes_on_asking(
        self, standin: StandIn, owner: Client, alpha: Organization
    ) -> None:
        payment = begin(alpha)
        standin.go_away(3)
        page = f"/o/alpha/billing/payments/{payment.id}/?back=paid"
        text = owner.get(page, headers={"HX-Request": "true"}).content.decode()
        assert "we ask Stripe for your payment" in text
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
