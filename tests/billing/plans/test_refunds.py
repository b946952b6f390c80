"""Money of real plan invoices and boosts that goes back: by staff, at Stripe, by a bank; and what was set off."""

from __future__ import annotations

import uuid
from datetime import timedelta

import pytest
from django.utils import timezone

from billing import errors
from billing.enums import RefundStatus
from billing.models import Account, Boost, Debt, Payment, Refund
from billing.queries.plans import boost_offers
from billing.services import boost_orders, holds
from billing.services.fulfilment import fulfil
from billing.services.reconciliation import reconcile_payments
from billing.services.refunds import request_refund
from tenants.actors import PLATFORM
from tenants.identifiers import new_id
from tenants.scope import organization_scope, platform_scope
from tests.billing.plans.buying import BUYER, Customer
from tests.factories.billing import assert_ledger_clean, balance_of, make_hold
from tests.factories.payments import payment_now

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("fresh_process")]


def wallet(customer: Customer) -> Account:
    with organization_scope(customer.id):
        return Account.objects.get(kind="org_wallet")


def available(customer: Customer) -> int:
    return balance_of(wallet(customer), now=timezone.now()).available_mtok


def spend(customer: Customer, mtok: int) -> None:
    now = timezone.now()
    hold = make_hold(wallet(customer), mtok, now=now)
    with platform_scope("test"):
        holds.capture_holds(captures=[holds.Capture(hold.hold_id, mtok, new_id())], now=now)


def refund(payment: Payment, mtok: int | None = None, *, by_staff: bool = True) -> Refund:
    return request_refund(
        organization_id=payment.organization_id, payment_id=payment.id, mtok=mtok, reason="Not had", actor=PLATFORM,
        idempotency_key=str(uuid.uuid4()), now=timezone.now(), by_staff=by_staff,
    )  # fmt: skip


def owed(customer: Customer) -> int:
    with organization_scope(customer.id):
        return sum(debt.left_mtok for debt in Debt.objects.all())


def test_staff_refund_what_is_unspent_of_a_months_invoice(customer: Customer) -> None:
    customer.subscribe("basic", currency="CNY")
    spend(customer, 2_500_000)
    (payment,) = customer.payments()
    with pytest.raises(errors.RefundRefused) as refused:
        refund(payment, by_staff=False)
    assert refused.value.code == "kind"
    done = refund(payment)
    assert done.status == RefundStatus.SUCCEEDED
    assert (done.taken_mtok, done.amount_minor) == (7_500_000, payment.total_minor * 3 // 4)
    (sent,) = customer.standin.client().v1.refunds.list({"payment_intent": payment.payment_intent_id}).data
    assert sent.amount == done.amount_minor
    customer.hear()
    customer.hear(again=True)
    assert available(customer) == 0
    assert customer.state() == ("basic", "active", None), "the plan itself goes on until it is cancelled"
    assert len(customer.payments()) == 1
    assert_ledger_clean()


def test_an_upgrades_invoice_is_refunded_for_itself(customer: Customer) -> None:
    customer.subscribe("basic")
    customer.change("advanced")
    first, second = customer.payments()
    given = second.tokens_mtok
    done = refund(second, given // 2)
    assert done.amount_minor == second.total_minor * (given // 2) // given
    rest = refund(second)
    assert done.amount_minor + rest.amount_minor == second.total_minor
    assert available(customer) == first.tokens_mtok
    assert refund(first).amount_minor == first.total_minor
    assert available(customer) == 0
    customer.hear()
    assert reconcile_payments(now=timezone.now() + timedelta(minutes=20)).differences == []
    assert_ledger_clean()


def test_a_plan_that_was_spent_and_refunded_at_stripe_is_owed_until_the_next_month(customer: Customer) -> None:
    customer.subscribe("basic")
    spend(customer, 4_000_000)
    (payment,) = customer.payments()
    customer.standin.client().v1.refunds.create({"payment_intent": payment.payment_intent_id})
    customer.hear()
    assert (available(customer), owed(customer)) == (0, 4_000_000)
    with pytest.raises(errors.DebtOutstanding):
        make_hold(wallet(customer), 1, now=timezone.now())
    customer.renew()
    assert (available(customer), owed(customer)) == (6_000_000, 0)
    assert_ledger_clean()


def test_a_plan_whose_payment_is_disputed_and_lost(customer: Customer) -> None:
    customer.subscribe("basic")
    spend(customer, 1_000_000)
    (payment,) = customer.payments()
    intent = customer.standin.client().v1.payment_intents.retrieve(payment.payment_intent_id)
    made = customer.standin.control(f"charges/{intent.latest_charge}/dispute")["id"]
    customer.hear()
    assert available(customer) == 0
    customer.standin.control(f"disputes/{made}/decide", won=False)
    customer.hear()
    assert (available(customer), owed(customer)) == (0, 1_000_000)
    assert_ledger_clean()


def test_cancelling_and_going_down_give_nothing_back_and_charge_nothing(customer: Customer) -> None:
    customer.subscribe("advanced")
    customer.change("basic")
    customer.hear()
    assert len(customer.payments()) == 1
    assert available(customer) == 100_000_000
    customer.renew()
    assert customer.state() == ("basic", "active", None)
    lower = customer.payments()[1]
    assert (lower.amount_minor, lower.tokens_mtok) == (99_00, 10_000_000)
    customer.change("free")
    customer.renew()
    assert customer.state() == ("free", "active", None)
    assert len(customer.payments()) == 2
    assert customer.standin.client().v1.refunds.list({}).data == []
    assert_ledger_clean()


@pytest.mark.parametrize("credit", [40_00, 100_00])
def test_what_stripe_set_off_was_not_paid_and_does_not_go_back(customer: Customer, credit: int) -> None:
    """Somebody gave the customer a credit in Stripe's dashboard: the next invoice is paid in part with it."""
    customer.subscribe("basic", currency="CNY")
    client = customer.standin.client()
    row = customer.row()
    assert row.stripe_id
    whose = str(client.v1.subscriptions.retrieve(row.stripe_id).customer)
    client.v1.customers.update(whose, {"balance": -credit})
    customer.renew()
    payment = customer.payments()[1]
    intent = client.v1.payment_intents.retrieve(payment.payment_intent_id)
    assert payment.total_minor == intent.amount_received == customer.payments()[0].total_minor - credit
    assert payment.tokens_mtok == 10_000_000
    done = refund(payment)
    assert (done.status, done.amount_minor) == (RefundStatus.SUCCEEDED, payment.total_minor)
    assert_ledger_clean()


def test_of_a_month_that_was_set_off_altogether_no_money_goes_back(customer: Customer) -> None:
    customer.subscribe("basic", currency="CNY")
    client = customer.standin.client()
    row = customer.row()
    assert row.stripe_id
    client.v1.customers.update(str(client.v1.subscriptions.retrieve(row.stripe_id).customer), {"balance": -900_00})
    customer.renew()
    payment = customer.payments()[1]
    assert (payment.total_minor, payment.tokens_mtok) == (0, 10_000_000)
    with pytest.raises(errors.RefundRefused) as refused:
        refund(payment)
    assert refused.value.code == "nothing_paid"


def test_a_boost_that_staff_refund_ends(customer: Customer) -> None:
    customer.subscribe("basic", currency="CNY")
    offer = boost_offers("CNY").first()
    assert offer
    bought = boost_orders.begin_boost(organization_id=customer.id, offer_id=offer.id, buyer=BUYER, now=timezone.now())
    assert customer.standin.pay(bought.checkout_url).went_on
    payment = fulfil(checkout_session_id=bought.checkout_session_id, now=timezone.now())
    with pytest.raises(errors.RefundRefused):
        refund(payment, by_staff=False)
    done = refund(payment)
    assert (done.status, done.amount_minor, done.tokens_mtok) == (RefundStatus.SUCCEEDED, payment.total_minor, 0)
    assert payment_now(payment.id, customer.organization).refunded_minor == payment.total_minor
    with organization_scope(customer.id):
        ends_at = Boost.objects.get().ends_at
    assert ends_at is not None
    assert ends_at <= timezone.now()
    with pytest.raises(errors.RefundRefused) as refused:
        refund(payment)
    assert refused.value.code == "refunded"
    assert_ledger_clean()
