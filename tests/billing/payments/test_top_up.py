"""Buying from end to end: by card, by bank, declined, given up, twice at once, and what the API and the pages say."""

from __future__ import annotations

from http import HTTPStatus

import pytest
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
from tenants.models import Organization, OutboxMail
from tenants.scope import organization_scope
from tests.billing.payments.buying import begin, deliver, grants_of
from tests.factories.billing import balance_of, make_wallet
from tests.factories.payments import payment_now
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
