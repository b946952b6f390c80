"""Payments that nobody made on a page, of saved cards and of plans, compared with Stripe both ways like all others."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
import stripe
from django.utils import timezone

from billing.enums import AutoTopUpStatus, GrantSource, PaymentKind, PaymentStatus
from billing.models import Account, BillingCustomer, Payment, ReconciliationRun
from billing.services.grants import issue_grant
from billing.services.reconciliation import reconcile_payments
from tenants.identifiers import new_id
from tenants.models import Organization
from tenants.scope import organization_scope
from tests.billing.payments.automatic import available, lose_the_answer, run
from tests.billing.plans.buying import Customer
from tests.factories.alerts import spend
from tests.factories.auto_top_ups import TOKENS, give_card, payments_of, row_of, turn_on
from tests.factories.billing import assert_ledger_clean, make_wallet
from tests.factories.payments import make_paid_payment, make_payment, payment_now
from tests.factories.plans import put_on
from tests.stripe_standin import CHARGES_FAIL, PAID, StandIn

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def wallet(alpha: Organization) -> Account:
    now = timezone.now()
    found = make_wallet(alpha, now=now)
    issue_grant(organization_id=alpha.id, tokens_mtok=150_000, source=GrantSource.TRIAL, idempotency_key="t", now=now)
    return found


@pytest.fixture
def soon() -> datetime:
    """When what is paid now is no longer on its way."""
    return timezone.now() + timedelta(minutes=20)


def told(run: ReconciliationRun) -> list[tuple[str, str]]:
    return [(difference["kind"], difference["stripe"]) for difference in run.differences]


def charge(standin: StandIn, of: Organization, number: str = PAID, **metadata: str) -> str:
    """Charge an organization's saved card at Stripe, and tell nobody here; return the intent."""
    with organization_scope(of.id):
        customer = BillingCustomer.objects.get()
    client = standin.client()
    method = customer.card_payment_method_id
    if number != PAID:
        made = {"type": "card", "card": {"number": number, "exp_month": 12, "exp_year": 2034, "cvc": "123"}}
        method = client.v1.payment_methods.create(made).id  # type: ignore[arg-type]
        client.v1.payment_methods.attach(method, {"customer": customer.stripe_id})
    params = {
        "amount": 1000, "currency": "cny", "customer": customer.stripe_id, "payment_method": method,
        "off_session": True, "confirm": True, "metadata": {"kind": "auto_topup", **metadata},
    }  # fmt: skip
    return client.v1.payment_intents.create(params).id  # type: ignore[arg-type]


def test_automatic_payments_that_both_know_agree(
    alpha: Organization, wallet: Account, standin: StandIn, soon: datetime
) -> None:
    give_card(alpha, standin)
    turn_on(alpha)
    spend(wallet, 100_000)
    assert run() == 1
    found = reconcile_payments(now=soon)
    assert (found.passed, found.stripe_payments, found.ledger_payments, found.differences) == (True, 1, 1, [])


def test_an_automatic_payment_whose_answer_and_webhook_were_lost_is_credited(
    alpha: Organization, wallet: Account, standin: StandIn, soon: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    give_card(alpha, standin)
    turn_on(alpha)
    spend(wallet, 100_000)
    lose_the_answer(monkeypatch)
    assert run() == 1
    assert available(alpha) == 50_000
    found = reconcile_payments(now=soon)
    assert (found.passed, found.repaired) == (True, 1)
    assert [kind for kind, _ in told(found)] == ["credited_late"]
    assert available(alpha) == 50_000 + TOKENS
    assert row_of(alpha).status == AutoTopUpStatus.ON
    assert reconcile_payments(now=soon).differences == []
    assert len(payments_of(alpha)) == 1
    assert_ledger_clean()


def test_an_automatic_payment_at_stripe_that_is_not_here_is_told(
    alpha: Organization, wallet: Account, standin: StandIn, soon: datetime
) -> None:
    give_card(alpha, standin)
    intents = [charge(standin, alpha), charge(standin, alpha, payment=str(new_id()))]
    found = reconcile_payments(now=soon)
    assert not found.passed
    assert sorted(told(found)) == sorted(("paid_for_nothing", intent) for intent in intents)
    assert available(alpha) == 150_000


def test_an_automatic_payment_here_that_is_not_at_stripe_is_told(
    alpha: Organization, wallet: Account, standin: StandIn, soon: datetime
) -> None:
    payment = make_paid_payment(alpha, kind=PaymentKind.AUTO_TOPUP, now=timezone.now())
    found = reconcile_payments(now=soon)
    assert told(found) == [("credited_unpaid", payment.payment_intent_id)]


def test_one_that_failed_while_nobody_listened_is_ended_so_that_the_next_may_begin(
    alpha: Organization, wallet: Account, standin: StandIn
) -> None:
    """Left in processing it would stand in the way of every automatic payment to come."""
    give_card(alpha, standin)
    turn_on(alpha)
    now = timezone.now()
    payment = make_payment(
        alpha, kind=PaymentKind.AUTO_TOPUP, status=PaymentStatus.PROCESSING, checkout_session_id="", created_at=now
    )
    with pytest.raises(stripe.CardError):
        charge(standin, alpha, CHARGES_FAIL, payment=str(payment.id), organization=str(alpha.id))
    (intent,) = standin.client().v1.payment_intents.list().data
    with organization_scope(alpha.id):
        Payment.objects.filter(id=payment.id).update(payment_intent_id=intent.id)
    reconcile_payments(now=now + timedelta(minutes=30))
    assert payment_now(payment.id, alpha).status == PaymentStatus.PROCESSING, "it may still be on its way"
    reconcile_payments(now=now + timedelta(hours=2))
    assert payment_now(payment.id, alpha).status == PaymentStatus.FAILED
    assert row_of(alpha).status == AutoTopUpStatus.DECLINED


def test_plans_whose_webhooks_were_lost_are_credited_and_in_force(
    alpha: Organization, wallet: Account, standin: StandIn, soon: datetime
) -> None:
    put_on(alpha, "free")
    customer = Customer(standin, alpha)
    assert standin.pay(customer.change("basic").url).went_on
    found = reconcile_payments(now=soon)
    assert (found.passed, found.repaired) == (True, 1)
    assert [kind for kind, _ in told(found)] == ["credited_late"]
    assert customer.state() == ("basic", "active", None)
    assert customer.plan_tokens() == [10_000_000]
    customer.change("advanced")
    customer.hear()
    customer.hear(again=True)
    assert len(customer.payments()) == 2
    assert reconcile_payments(now=soon).differences == []
    assert_ledger_clean()
