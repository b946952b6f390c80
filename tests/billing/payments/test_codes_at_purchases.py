"""Codes that count with a purchase: reserved when it is begun, redeemed when it is paid, free again when it is not."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from billing.enums import CodeBenefit, GrantSource, PaymentStatus, RedemptionStatus
from billing.errors import (
    CodeForFirstPurchase,
    CodeInvalid,
    CodeNotForPurchases,
    CodeUsedBefore,
    GatewayAway,
    IdempotencyMismatch,
)
from billing.models import CodeRedemption, Grant, Payment
from billing.queries.balances import organization_balance
from billing.queries.top_ups import Offer
from billing.services.code_purchases import quote_code, release_forgotten
from billing.services.codes import redeem_code
from billing.services.fulfilment import fulfil, settle
from billing.services.refunds import request_refund
from billing.services.topups import Buyer, begin_top_up, cancel_top_up
from tenants.actors import Actor, user_actor
from tenants.identifiers import new_id
from tenants.models import Organization, User
from tenants.scope import organization_scope
from tests.factories.billing import assert_ledger_clean, make_wallet
from tests.factories.codes import assert_codes_clean, make_code, make_code_set, uses
from tests.factories.payments import session_of
from tests.stripe_standin import StandIn

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("standin")]

BOUGHT = Offer("Starter", 1_000_000, 1_000, "CNY", 180)


@pytest.fixture
def actor(alice: User) -> Actor:
    return user_actor(alice.id, alice.email)


@pytest.fixture(autouse=True)
def _wallets(alpha: Organization, beta: Organization) -> None:
    make_wallet(alpha)
    make_wallet(beta)


def begin(organization: Organization, actor: Actor, code: str = "", **values: Any) -> Payment:
    offer = values.pop("offer", BOUGHT)
    return begin_top_up(
        organization_id=organization.id,
        offer=offer,
        buyer=Buyer(actor, actor.name, "en"),
        code=code,
        now=values.pop("now", timezone.now()),
        **values,
    )


def pay(payment: Payment, standin: StandIn) -> Payment:
    assert standin.pay(payment.checkout_url).went_on
    return fulfil(checkout_session_id=payment.checkout_session_id, now=timezone.now())


def promise(benefit: CodeBenefit, **terms: Any) -> dict[str, Any]:
    return {"benefit": benefit, **terms}


def redemption_of(payment: Payment) -> CodeRedemption:
    with organization_scope(payment.organization_id):
        return CodeRedemption.objects.get(payment=payment)


def available(organization: Organization) -> int:
    with organization_scope(organization.id):
        return organization_balance(organization.id).available_mtok


@pytest.mark.parametrize(
    ("terms", "bonus_mtok"),
    [
        (promise(CodeBenefit.BONUS_TOKENS, tokens_mtok=50_500), 50_500),
        (promise(CodeBenefit.BONUS_PERCENT, percent=15), 150_000),
    ],
)
def test_a_bonus_comes_with_the_payment_and_refers_to_it(
    terms: dict[str, Any],
    bonus_mtok: int,
    alpha: Organization,
    actor: Actor,
    standin: StandIn,
) -> None:
    made = make_code_set(valid_days=30, **terms)
    payment = begin(alpha, actor, made.codes[0])
    assert uses(made) == [1], "taken with the promise"
    assert available(alpha) == 0
    paid = pay(payment, standin)
    assert (paid.status, paid.discount_minor, paid.net_minor) == (PaymentStatus.PAID, 0, 1_000)
    with organization_scope(alpha.id):
        bonus = Grant.objects.get(source=GrantSource.PROMOTION)
    assert (bonus.amount_mtok, bonus.reference) == (bonus_mtok, str(payment.id))
    assert bonus.expires_at is not None
    assert available(alpha) == 1_000_000 + bonus_mtok
    for _ in range(3):
        fulfil(checkout_session_id=payment.checkout_session_id, now=timezone.now())
    assert available(alpha) == 1_000_000 + bonus_mtok
    assert redemption_of(payment).status == RedemptionStatus.REDEEMED
    assert_ledger_clean()
    assert_codes_clean()


def test_a_refund_takes_the_bonus_back_with_what_it_came_with(
    alpha: Organization, actor: Actor, standin: StandIn
) -> None:
    payment = pay(begin(alpha, actor, make_code(**promise(CodeBenefit.BONUS_PERCENT, percent=15))), standin)
    assert available(alpha) == 1_150_000
    for mtok, left in ((500_000, 575_000), (None, 0)):
        request_refund(
            organization_id=alpha.id,
            payment_id=payment.id,
            mtok=mtok,
            reason="Bought by mistake",
            actor=actor,
            idempotency_key=str(new_id()),
            now=timezone.now(),
        )
        assert available(alpha) == left, "no bonus stays without its purchase"
    assert_ledger_clean()


def test_a_percent_comes_off_the_price_that_stripe_is_told(
    alpha: Organization,
    actor: Actor,
    standin: StandIn,
) -> None:
    payment = begin(alpha, actor, make_code(**promise(CodeBenefit.DISCOUNT_PERCENT, percent=33)))
    assert (payment.amount_minor, payment.discount_minor, payment.net_minor) == (1_000, 330, 670)
    paid = pay(payment, standin)
    assert (paid.status, paid.alarm, paid.net_minor) == (PaymentStatus.PAID, "", 670)
    assert available(alpha) == 1_000_000
    redemption = redemption_of(payment)
    assert (redemption.status, redemption.discount_minor, redemption.grant_id) == ("redeemed", 330, None)


def test_a_discount_leaves_what_a_card_can_be_charged(alpha: Organization, actor: Actor) -> None:
    payment = begin(alpha, actor, make_code(**promise(CodeBenefit.DISCOUNT_PERCENT, percent=90)))
    assert payment.net_minor == 400


def test_what_a_code_would_do_is_said_before_and_nothing_is_taken(alpha: Organization, actor: Actor) -> None:
    made = make_code_set(**promise(CodeBenefit.BONUS_PERCENT, percent=15))
    with organization_scope(alpha.id):
        worth = quote_code(
            organization_id=alpha.id,
            typed=made.codes[0],
            tokens_mtok=1_000_000,
            amount_minor=1_000,
            currency="CNY",
            actor=actor,
            now=timezone.now(),
        )
    assert (worth.bonus_mtok, worth.discount_minor) == (150_000, 0)
    assert uses(made) == [0]


def test_a_payment_that_is_cancelled_frees_its_code(alpha: Organization, beta: Organization, actor: Actor) -> None:
    made = make_code_set(**promise(CodeBenefit.BONUS_PERCENT, percent=15))
    payment = begin(alpha, actor, made.codes[0])
    with pytest.raises(CodeInvalid):
        begin(beta, actor, made.codes[0])
    with pytest.raises(CodeUsedBefore):
        begin(alpha, actor, made.codes[0])
    cancel_top_up(organization_id=alpha.id, payment_id=payment.id, actor=actor, now=timezone.now())
    assert uses(made) == [0]
    assert redemption_of(payment).status == RedemptionStatus.RELEASED
    assert begin(beta, actor, made.codes[0]).checkout_url


def test_a_payment_that_fails_or_is_refused_writes_nothing(alpha: Organization, actor: Actor) -> None:
    """A code that does not work leaves no payment behind, and one that works no use when it is for something else."""
    voucher = make_code_set()
    for code, refusal in ((voucher.codes[0], CodeNotForPurchases), (make_code()[:-1] + "*", Exception)):
        with pytest.raises(refusal):
            begin(alpha, actor, code)
    with organization_scope(alpha.id):
        assert not Payment.objects.exists()
    assert uses(voucher) == [0]


def test_money_that_comes_late_still_gets_what_was_promised(
    alpha: Organization,
    actor: Actor,
    standin: StandIn,
) -> None:
    made = make_code_set(**promise(CodeBenefit.BONUS_TOKENS, tokens_mtok=7_000))
    payment = begin(alpha, actor, made.codes[0])
    assert standin.pay(payment.checkout_url, method="fails").went_on
    (event,) = standin.events("payment_intent.processing")
    standin.settle(event["data"]["object"]["id"], succeeds=False)
    failed = fulfil(checkout_session_id=payment.checkout_session_id, now=timezone.now())
    assert failed.status == PaymentStatus.FAILED
    assert uses(made) == [0]
    late = settle(session=session_of(failed), now=timezone.now())
    assert late.status == PaymentStatus.PAID
    assert available(alpha) == 1_007_000
    assert redemption_of(payment).slot is None
    assert_codes_clean()


def test_the_same_key_is_the_same_payment_with_the_same_code(alpha: Organization, actor: Actor) -> None:
    made = make_code_set(uses_per_code=9, uses_per_organization=None, **promise(CodeBenefit.BONUS_PERCENT, percent=15))
    first = begin(alpha, actor, made.codes[0], idempotency_key="once")
    assert begin(alpha, actor, made.codes[0], idempotency_key="once").id == first.id
    assert uses(made) == [1]
    for other in ("", make_code(**promise(CodeBenefit.BONUS_PERCENT, percent=15))):
        with pytest.raises(IdempotencyMismatch):
            begin(alpha, actor, other, idempotency_key="once")


def test_a_first_purchase_code_is_for_the_first(alpha: Organization, actor: Actor, standin: StandIn) -> None:
    terms = promise(CodeBenefit.BONUS_PERCENT, percent=15, first_purchase_only=True)
    pay(begin(alpha, actor, make_code(**terms)), standin)
    with pytest.raises(CodeForFirstPurchase):
        begin(alpha, actor, make_code(**terms))


def test_a_process_that_dies_before_the_page_is_open_frees_the_code_in_an_hour(
    alpha: Organization,
    actor: Actor,
    standin: StandIn,
) -> None:
    made = make_code_set(**promise(CodeBenefit.BONUS_PERCENT, percent=15))
    now = timezone.now()
    standin.go_away(20)
    with pytest.raises(GatewayAway):
        begin(alpha, actor, made.codes[0], now=now)
    standin.go_away(0)
    assert uses(made) == [1]
    assert release_forgotten(now=now + timedelta(minutes=59)) == 0
    assert release_forgotten(now=now + timedelta(minutes=61)) == 1
    assert uses(made) == [0]
    assert release_forgotten(now=now + timedelta(minutes=61)) == 0


def test_a_payment_that_was_ended_without_a_word_frees_its_code(alpha: Organization, actor: Actor) -> None:
    made = make_code_set(**promise(CodeBenefit.BONUS_PERCENT, percent=15))
    payment = begin(alpha, actor, made.codes[0])
    with organization_scope(alpha.id):
        Payment.objects.filter(id=payment.id).update(status=PaymentStatus.EXPIRED)
    assert release_forgotten(now=timezone.now()) == 1
    assert uses(made) == [0]


def test_an_open_page_keeps_its_code(alpha: Organization, actor: Actor) -> None:
    made = make_code_set(**promise(CodeBenefit.BONUS_PERCENT, percent=15))
    begin(alpha, actor, made.codes[0])
    assert release_forgotten(now=timezone.now() + timedelta(days=1)) == 0
    assert uses(made) == [1]


def test_a_voucher_and_a_purchase_do_not_share_keys(alpha: Organization, actor: Actor) -> None:
    redeem_code(
        organization_id=alpha.id, typed=make_code(), actor=actor, idempotency_key=str(new_id()), now=timezone.now()
    )
    assert available(alpha) == 50_000
