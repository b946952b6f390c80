"""Plans that are paid: begun, changed, renewed, overdue and ended at the stand-in for Stripe."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from billing.errors import PaymentUnknown, PlanBusy, PlanNotForSale, PlanUnchanged, StateChanged
from billing.models import Boost, Plan, Subscription
from billing.services import plan_endings, plan_orders, plan_rounds, plan_settling
from billing.services.reconciliation import reconcile_payments
from billing.services.subscriptions import give_plan
from tenants.actors import PLATFORM
from tenants.models import AuditEvent, Organization, OutboxMail
from tenants.scope import organization_scope, platform_scope
from tests.billing.plans.buying import BUYER, Customer
from tests.factories.billing import assert_ledger_clean
from tests.stripe_standin import CHARGES_FAIL, DECLINED, PAID, SECURE_ALWAYS

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("fresh_process")]


def test_the_first_plan_is_paid_on_the_hosted_page_and_acts_once_it_is(customer: Customer) -> None:
    change = customer.change("basic", currency="CNY")
    assert change.state == "payment_needed"
    assert customer.state() == ("free", "active", None)
    assert customer.standin.pay(change.url).went_on
    assert customer.state() == ("free", "active", None), "nobody has told us yet"
    customer.hear()
    assert customer.state() == ("basic", "active", None)
    assert customer.plan_tokens() == [10_000_000]
    (payment,) = customer.payments()
    assert (payment.currency, payment.amount_minor, payment.label) == ("CNY", 99_00, "Basic")
    assert payment.total_minor == 99_00 + payment.tax_minor
    assert payment.invoice_url
    assert (payment.method, bool(payment.charge_id), bool(payment.receipt_url)) == ("visa 4242", True, True)
    row = customer.row()
    assert row.period_ends_at - row.period_starts_at > timedelta(days=27)
    assert_ledger_clean()


def test_the_page_that_a_buyer_comes_back_to_does_the_same(customer: Customer) -> None:
    change = customer.change("basic")
    customer.standin.pay(change.url)
    plan_orders.settle_session(organization_id=customer.id, now=timezone.now())
    assert customer.state()[0] == "basic"
    customer.hear()
    customer.hear(again=True)
    assert customer.plan_tokens() == [10_000_000]


def test_the_same_news_in_another_order_and_twice_give_the_tokens_once(customer: Customer) -> None:
    customer.subscribe()
    for _ in range(2):
        customer.hear(again=True)
    assert customer.plan_tokens() == [10_000_000]
    assert len(customer.payments()) == 1


def test_a_declined_card_changes_nothing(customer: Customer) -> None:
    change = customer.change("basic")
    assert not customer.standin.pay(change.url, DECLINED).went_on
    customer.hear()
    assert customer.state() == ("free", "active", None)
    assert customer.plan_tokens() == []


def test_a_newer_page_closes_the_older_one(customer: Customer) -> None:
    older = customer.change("basic")
    newer = customer.change("advanced")
    assert older.url != newer.url
    assert not customer.standin.pay(older.url).went_on
    assert customer.standin.pay(newer.url).went_on
    customer.hear()
    assert customer.state()[0] == "advanced"


def test_an_upgrade_charges_what_its_preview_said_to_the_cent_and_the_token(customer: Customer) -> None:
    customer.subscribe("basic")
    shown = customer.preview("advanced")
    assert shown.kind == "upgrade"
    assert shown.renewal_minor == 899_00
    change = customer.change("advanced", as_of=shown.as_of, expected_minor=shown.today_minor)
    assert change.state == "done"
    assert customer.state() == ("advanced", "active", None)
    first, second = customer.payments()
    assert second.total_minor == shown.today_minor
    assert 0 < second.amount_minor <= 800_00
    assert customer.plan_tokens() == [10_000_000, shown.today_mtok]
    assert 89_000_000 < shown.today_mtok <= 90_000_000
    assert first.invoice_id != second.invoice_id
    customer.hear()
    customer.hear(again=True)
    assert len(customer.plan_tokens()) == 2
    assert customer.state() == ("advanced", "active", None)
    assert_ledger_clean()


def test_an_amount_that_was_not_shown_is_not_charged(customer: Customer) -> None:
    customer.subscribe("basic")
    shown = customer.preview("advanced")
    with pytest.raises(StateChanged):
        customer.change("advanced", as_of=shown.as_of, expected_minor=shown.today_minor - 1)
    with pytest.raises(StateChanged):
        customer.change("advanced", as_of=shown.as_of - timedelta(hours=1), expected_minor=shown.today_minor)
    assert customer.state() == ("basic", "active", None)
    assert len(customer.payments()) == 1


@pytest.mark.parametrize("number", [CHARGES_FAIL, SECURE_ALWAYS])
def test_an_upgrade_that_is_not_paid_changes_nothing_until_it_is(customer: Customer, number: str) -> None:
    customer.subscribe("basic")
    customer.card(number)
    change = customer.change("advanced")
    assert change.state == "payment_needed"
    assert change.url
    customer.hear()
    assert customer.state() == ("basic", "active", None)
    assert customer.row().pending_plan == Plan.objects.get(key="advanced")
    assert len(customer.plan_tokens()) == 1
    customer.standin.pay(change.url, PAID)
    customer.hear()
    assert customer.state() == ("advanced", "active", None)
    assert customer.row().pending_url == ""
    assert len(customer.plan_tokens()) == 2


def test_a_downgrade_waits_for_the_period_end(customer: Customer) -> None:
    customer.subscribe("advanced")
    shown = customer.preview("basic")
    assert (shown.kind, shown.today_minor, shown.today_mtok) == ("downgrade", 0, 0)
    assert (shown.renewal_minor, shown.renewal_mtok) == (99_00, 10_000_000)
    assert customer.change("basic").state == "scheduled"
    customer.hear()
    assert customer.state() == ("advanced", "active", "basic")
    with pytest.raises(PlanUnchanged):
        customer.change("basic")
    customer.renew()
    assert customer.state() == ("basic", "active", None)
    assert customer.plan_tokens() == [100_000_000, 10_000_000]
    assert [payment.amount_minor for payment in customer.payments()] == [899_00, 99_00]


def test_a_scheduled_change_is_taken_back(customer: Customer) -> None:
    customer.subscribe("advanced")
    customer.change("basic")
    plan_orders.resume_plan(organization_id=customer.id, actor=PLATFORM, now=timezone.now())
    customer.hear()
    assert customer.state() == ("advanced", "active", None)
    with pytest.raises(PlanUnchanged):
        plan_orders.resume_plan(organization_id=customer.id, actor=PLATFORM, now=timezone.now())
    customer.renew()
    assert customer.state() == ("advanced", "active", None)
    assert customer.plan_tokens() == [100_000_000, 100_000_000]


def test_a_renewal_brings_the_tokens_of_the_next_month_once(customer: Customer) -> None:
    customer.subscribe("basic")
    ends_at = customer.row().period_ends_at
    customer.renew()
    customer.hear(again=True)
    assert customer.plan_tokens() == [10_000_000, 10_000_000]
    assert customer.row().period_starts_at == ends_at


def test_a_cancelled_plan_stays_until_its_end_and_can_be_resumed(customer: Customer) -> None:
    customer.subscribe("basic")
    assert plan_orders.cancel_plan(organization_id=customer.id, buyer=BUYER, now=timezone.now()).state == "scheduled"
    assert customer.state() == ("basic", "active", "free")
    plan_orders.resume_plan(organization_id=customer.id, actor=PLATFORM, now=timezone.now())
    assert customer.state() == ("basic", "active", None)
    plan_orders.cancel_plan(organization_id=customer.id, buyer=BUYER, now=timezone.now())
    customer.renew()
    assert customer.state() == ("free", "active", None)
    assert customer.row().stripe_id is None
    assert len(customer.plan_tokens()) == 1
    with platform_scope("test"):
        assert OutboxMail.objects.filter(kind="plan_ended").count() == 1


def test_who_has_left_can_subscribe_anew_in_another_currency(customer: Customer) -> None:
    customer.subscribe("basic", currency="USD")
    end_for_staff(customer, "free")
    assert customer.state() == ("free", "active", None)
    customer.subscribe("advanced", currency="CNY")
    assert customer.state() == ("advanced", "active", None)
    assert customer.plan_tokens() == [10_000_000, 100_000_000]


def test_an_unpaid_renewal_has_a_grace_and_then_the_plan_ends(customer: Customer) -> None:
    customer.subscribe("basic")
    customer.card(CHARGES_FAIL)
    customer.renew()
    assert customer.state() == ("basic", "past_due", None)
    row = customer.row()
    assert row.grace_ends_at
    assert row.pending_url
    assert len(customer.plan_tokens()) == 1, "what is not paid brings nothing"
    with platform_scope("test"):
        assert OutboxMail.objects.filter(kind="plan_overdue").count() == 1
    with pytest.raises(PlanNotForSale):
        customer.change("advanced")
    assert plan_rounds.keep_paid_plans(now=row.grace_ends_at - timedelta(seconds=1)) == 0
    assert customer.state()[0] == "basic"
    assert plan_rounds.keep_paid_plans(now=row.grace_ends_at) == 1
    assert customer.state() == ("free", "active", None)
    customer.hear()
    assert customer.state() == ("free", "active", None)
    assert not customer.standin.pay(row.pending_url, PAID).went_on, "what has ended cannot be paid any more"


def test_an_overdue_plan_that_is_paid_is_back_at_once(customer: Customer) -> None:
    customer.subscribe("basic")
    customer.card(CHARGES_FAIL)
    customer.renew()
    row = customer.row()
    customer.standin.pay(row.pending_url, PAID)
    customer.hear()
    assert customer.state() == ("basic", "active", None)
    assert customer.row().grace_ends_at is None
    assert customer.plan_tokens() == [10_000_000, 10_000_000]
    assert plan_rounds.keep_paid_plans(now=timezone.now()) == 0


def test_an_organization_that_goes_is_not_charged_again(customer: Customer) -> None:
    customer.subscribe("basic")
    with organization_scope(customer.id):
        Organization.objects.filter(id=customer.id).update(
            deletion_requested_at=timezone.now(), deletion_due_at=timezone.now() + timedelta(days=14)
        )
    assert plan_rounds.keep_paid_plans(now=timezone.now()) == 1
    assert customer.state() == ("basic", "active", "free")
    assert plan_rounds.keep_paid_plans(now=timezone.now()) == 0
    customer.renew()
    assert len(customer.payments()) == 1


def test_another_currency_is_refused_while_a_plan_is_paid(customer: Customer) -> None:
    customer.subscribe("basic", currency="USD")
    assert customer.payments()[0].currency == "USD"
    with pytest.raises(PlanNotForSale, match="paid in USD"):
        customer.change("advanced", currency="CNY")


@pytest.mark.parametrize(("plan", "error"), [("enterprise", PlanNotForSale), ("free", PlanUnchanged)])
def test_what_is_not_sold_is_refused(customer: Customer, plan: str, error: type[Exception]) -> None:
    with pytest.raises(error):
        customer.change(plan)


def test_one_change_at_a_time(customer: Customer) -> None:
    with organization_scope(customer.id):
        Subscription.objects.update(changing_until=timezone.now() + timedelta(minutes=30))
    with pytest.raises(PlanBusy):
        customer.change("basic")
    with organization_scope(customer.id):
        Subscription.objects.update(changing_until=timezone.now() - timedelta(seconds=1))
    assert customer.change("basic").state == "payment_needed"


def test_a_look_from_before_changes_nothing_after_a_later_one(customer: Customer) -> None:
    customer.subscribe("basic")
    stripe_id = customer.row().stripe_id
    assert stripe_id
    stale = plan_settling.look(stripe_id)
    customer.change("advanced")
    plan_settling.settle(stale, now=timezone.now())
    assert customer.state()[0] == "advanced"


def test_somebody_elses_subscription_is_not_believed(customer: Customer) -> None:
    customer.subscribe("basic")
    client = customer.standin.client()
    other = client.v1.customers.create({"email": "else@beta.example", "address": {"country": "CN"}})
    price = client.v1.subscriptions.retrieve(str(customer.row().stripe_id))["items"].data[0].price.id
    method = client.v1.payment_methods.create(
        {"type": "card", "card": {"number": PAID, "exp_month": 12, "exp_year": 2034, "cvc": "123"}}
    )
    client.v1.payment_methods.attach(method.id, {"customer": other.id})
    forged = client.v1.subscriptions.create(
        {
            "customer": other.id,
            "items": [{"price": price}],
            "default_payment_method": method.id,
            "metadata": {"organization": str(customer.id)},
        }
    )
    with pytest.raises(PaymentUnknown):
        plan_settling.look(forged.id)
    customer.hear()
    assert len(customer.plan_tokens()) == 1


def end_for_staff(customer: Customer, plan: str) -> bool:
    return plan_endings.end_paid_plan(
        organization_id=customer.id, plan_key=plan, reason="Agreed with them", actor=PLATFORM, now=timezone.now()
    )


def test_staff_who_give_the_plan_that_is_paid_for_end_nothing(customer: Customer) -> None:
    customer.subscribe("basic")
    with pytest.raises(PlanUnchanged):
        end_for_staff(customer, "basic")
    customer.hear()
    assert customer.state() == ("basic", "active", None)
    assert customer.row().stripe_id is not None
    assert customer.plan_tokens() == [10_000_000]


def test_staff_end_what_is_paid_before_they_give_another_plan(customer: Customer) -> None:
    customer.subscribe("basic")
    with pytest.raises(PlanNotForSale):
        give_plan(organization_id=customer.id, plan_key="enterprise", reason="x", actor=PLATFORM, now=timezone.now())
    assert end_for_staff(customer, "enterprise")
    give_plan(organization_id=customer.id, plan_key="enterprise", reason="x", actor=PLATFORM, now=timezone.now())
    customer.hear()
    assert customer.state() == ("enterprise", "active", None)
    assert customer.row().by_staff
    with pytest.raises(PlanNotForSale, match="agreed with us"):
        customer.change("basic")


def test_the_nightly_comparison_finds_every_plan_payment_at_stripe(customer: Customer) -> None:
    customer.subscribe("basic")
    customer.change("advanced")
    assert all(payment.payment_intent_id for payment in customer.payments())
    run = reconcile_payments(now=timezone.now() + timedelta(hours=1))
    assert (run.passed, run.stripe_payments, run.ledger_payments) == (True, 2, 2), run.differences


def test_what_was_asked_and_paid_stands_in_the_audit_log(customer: Customer) -> None:
    customer.subscribe("basic")
    with organization_scope(customer.id):
        actions = list(AuditEvent.objects.values_list("action", flat=True))
        assert not Boost.objects.exists()
    assert {"plan.change_asked", "plan.paid", "plan.changed"} <= set(actions)


def test_who_subscribes_twice_is_charged_on_once_and_loses_nothing(customer: Customer) -> None:
    customer.subscribe("basic")
    client = customer.standin.client()
    first = client.v1.subscriptions.retrieve(str(customer.row().stripe_id))
    second = client.v1.subscriptions.create(
        {
            "customer": str(first.customer),
            "items": [{"price": first["items"].data[0].price.id}],
            "default_payment_method": str(first.default_payment_method),
            "metadata": {"organization": str(customer.id)},
        }
    )
    customer.hear()
    assert customer.row().stripe_id == first.id
    assert client.v1.subscriptions.retrieve(second.id).status == "canceled"
    assert client.v1.subscriptions.retrieve(first.id).status == "active"
    assert customer.plan_tokens() == [10_000_000, 10_000_000], "both were paid"
