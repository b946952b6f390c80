"""Subscriptions of the stand-in for Stripe: begun by checkout or by the API, changed to the cent, renewed, dunned."""

from __future__ import annotations

from typing import Any

import pytest
import stripe

from portal.local.stripe.lines import period_end
from tests.portal.local_stripe.conftest import told
from tests.portal.local_stripe.faithful import differences
from tests.stripe_standin import DECLINED, SECRET_KEY, SECURE_ALWAYS, SECURE_ONCE, StandIn

BASIC, ADVANCED = 3000, 9990


def price_of(client: stripe.StripeClient, amount: int, interval: str = "month") -> stripe.Price:
    return client.v1.prices.create(
        {
            "currency": "cny",
            "unit_amount": amount,
            "recurring": {"interval": interval},
            "tax_behavior": "exclusive",
            "product_data": {"name": f"Plan {amount}"},
        }
    )


@pytest.fixture
def basic(client: stripe.StripeClient) -> stripe.Price:
    return price_of(client, BASIC)


@pytest.fixture
def advanced(client: stripe.StripeClient) -> stripe.Price:
    return price_of(client, ADVANCED)


def save_card(client: stripe.StripeClient, customer: stripe.Customer, token: str = "pm_card_visa") -> str:
    method = client.v1.payment_methods.attach(token, {"customer": customer.id})
    client.v1.customers.update(customer.id, {"invoice_settings": {"default_payment_method": method.id}})
    return method.id


def subscribe(
    client: stripe.StripeClient, customer: stripe.Customer, price: stripe.Price, **params: Any
) -> stripe.Subscription:
    asked = {"customer": customer.id, "items": [{"price": price.id}], "expand": ["latest_invoice.payments"], **params}
    return client.v1.subscriptions.create(asked)


def half_way(subscription: stripe.Subscription) -> int:
    item = subscription["items"].data[0]
    return (item.current_period_start + item.current_period_end) // 2


def kinds(standin: StandIn, prefix: str) -> list[str]:
    return [event["type"] for event in standin.events() if event["type"].startswith(prefix)]


def test_a_checkout_begins_a_subscription(
    standin: StandIn, client: stripe.StripeClient, customer: stripe.Customer, basic: stripe.Price
) -> None:
    session = client.v1.checkout.sessions.create(
        {
            "mode": "subscription",
            "customer": customer.id,
            "line_items": [{"price": basic.id, "quantity": 1}],
            "automatic_tax": {"enabled": True},
            "subscription_data": {"metadata": {"plan": "basic"}},
            "success_url": "http://localhost:8000/",
        }
    )
    assert standin.pay(session.url, DECLINED).status == 402
    assert told(standin, "subscriptions")["data"] == []
    assert standin.pay(session.url, SECURE_ONCE).went_on
    done = client.v1.checkout.sessions.retrieve(session.id, {"expand": ["subscription", "invoice"]})
    assert (done.status, done.payment_status, done.amount_total) == ("complete", "paid", BASIC * 106 // 100)
    assert done.subscription.status == "active"
    assert done.subscription.metadata.to_dict() == {"plan": "basic"}
    assert done.invoice.parent.subscription_details.subscription == done.subscription.id
    assert (done.invoice.status, done.invoice.billing_reason) == ("paid", "subscription_create")
    method = client.v1.payment_methods.retrieve(done.subscription.default_payment_method)
    assert (method.customer, method.card.last4) == (customer.id, "3155")


def test_an_upgrade_at_once_costs_what_the_preview_said(
    standin: StandIn,
    client: stripe.StripeClient,
    customer: stripe.Customer,
    basic: stripe.Price,
    advanced: stripe.Price,
) -> None:
    save_card(client, customer)
    subscription = subscribe(client, customer, basic)
    assert subscription.status == "active"
    at = half_way(subscription)
    change = {
        "items": [{"id": subscription["items"].data[0].id, "price": advanced.id}],
        "proration_behavior": "always_invoice",
        "proration_date": at,
    }
    previewed = client.v1.invoices.create_preview({"subscription": subscription.id, "subscription_details": change})
    assert [line.amount for line in previewed.lines.data] == [-BASIC // 2, ADVANCED // 2]
    changed = client.v1.subscriptions.update(subscription.id, {**change, "expand": ["latest_invoice"]})
    assert changed.latest_invoice.total == previewed.total == (ADVANCED - BASIC) // 2
    assert changed.latest_invoice.status == "paid"
    assert changed["items"].data[0].price.id == advanced.id
    (charge,) = [found for found in told(standin, "charges")["data"] if found["amount"] == previewed.total]
    assert charge["status"] == "succeeded"


def test_a_preview_keeps_nothing(
    standin: StandIn, client: stripe.StripeClient, customer: stripe.Customer, basic: stripe.Price
) -> None:
    before = standin.http.get("/_config/state").json()["objects"]
    item = "subscription_details[items][0]"
    asked = {"customer": customer.id, f"{item}[price]": basic.id, f"{item}[quantity]": "2"}
    headers = {"Authorization": f"Bearer {SECRET_KEY}"}
    previewed = standin.http.post("/v1/invoices/create_preview", data=asked, headers=headers).json()
    assert previewed["amount_due"] == 2 * BASIC
    assert differences(previewed) == []
    assert standin.http.get("/_config/state").json()["objects"] == before


@pytest.mark.parametrize(
    ("behavior", "renewal"), [("create_prorations", ADVANCED + (ADVANCED - BASIC) // 2), ("none", ADVANCED)]
)
def test_a_change_is_billed_at_renewal(
    standin: StandIn,
    client: stripe.StripeClient,
    customer: stripe.Customer,
    basic: stripe.Price,
    advanced: stripe.Price,
    behavior: str,
    renewal: int,
) -> None:
    save_card(client, customer)
    subscription = subscribe(client, customer, basic)
    change = {"items": [{"id": subscription["items"].data[0].id, "price": advanced.id}], "proration_behavior": behavior}
    at = half_way(subscription)
    client.v1.subscriptions.update(subscription.id, {**change, "proration_date": at})
    upcoming = client.v1.invoices.create_preview({"subscription": subscription.id})
    standin.control(f"subscriptions/{subscription.id}/renew")
    renewed = client.v1.subscriptions.retrieve(subscription.id, {"expand": ["latest_invoice"]})
    assert renewed.latest_invoice.total == upcoming.total == renewal
    assert renewed.latest_invoice.billing_reason == "subscription_cycle"


def test_a_downgrade_at_once_becomes_a_balance_that_pays_later_invoices(
    client: stripe.StripeClient,
    customer: stripe.Customer,
    basic: stripe.Price,
    advanced: stripe.Price,
    standin: StandIn,
) -> None:
    save_card(client, customer)
    subscription = subscribe(client, customer, advanced)
    item = subscription["items"].data[0].id
    client.v1.subscriptions.update(
        subscription.id,
        {
            "items": [{"id": item, "price": basic.id}],
            "proration_behavior": "always_invoice",
            "proration_date": half_way(subscription),
        },
    )
    assert client.v1.customers.retrieve(customer.id).balance == -(ADVANCED - BASIC) // 2
    standin.control(f"subscriptions/{subscription.id}/renew")
    renewed = client.v1.subscriptions.retrieve(subscription.id, {"expand": ["latest_invoice"]})
    invoice = renewed.latest_invoice
    assert (invoice.total, invoice.amount_due, invoice.status) == (BASIC, 0, "paid")
    assert client.v1.customers.retrieve(customer.id).balance == BASIC - (ADVANCED - BASIC) // 2


def test_another_interval_begins_a_period_anew(
    client: stripe.StripeClient, customer: stripe.Customer, basic: stripe.Price
) -> None:
    save_card(client, customer)
    subscription = subscribe(client, customer, basic)
    yearly = price_of(client, 30_000, "year")
    at = half_way(subscription)
    changed = client.v1.subscriptions.update(
        subscription.id,
        {
            "items": [{"id": subscription["items"].data[0].id, "price": yearly.id}],
            "proration_behavior": "always_invoice",
            "proration_date": at,
            "expand": ["latest_invoice"],
        },
    )
    assert changed["items"].data[0].current_period_start == at
    assert changed.latest_invoice.total == 30_000 - BASIC // 2


def test_a_refused_change_changes_nothing(
    client: stripe.StripeClient, customer: stripe.Customer, basic: stripe.Price, advanced: stripe.Price
) -> None:
    save_card(client, customer)
    subscription = subscribe(client, customer, basic)
    save_card(client, customer, "pm_card_chargeCustomerFail")
    change = {
        "items": [{"id": subscription["items"].data[0].id, "price": advanced.id}],
        "proration_behavior": "always_invoice",
    }
    with pytest.raises(stripe.CardError):
        client.v1.subscriptions.update(subscription.id, {**change, "payment_behavior": "error_if_incomplete"})
    after = client.v1.subscriptions.retrieve(subscription.id)
    assert (after.status, after["items"].data[0].price.id) == ("active", basic.id)
    assert after.latest_invoice == subscription.latest_invoice.id
    waiting = client.v1.subscriptions.update(subscription.id, {**change, "payment_behavior": "pending_if_incomplete"})
    assert (waiting.status, waiting["items"].data[0].price.id) == ("active", basic.id)
    assert waiting.pending_update.subscription_items[0].price.id == advanced.id
    client.v1.invoices.pay(waiting.latest_invoice, {"payment_method": save_card(client, customer)})
    paid = client.v1.subscriptions.retrieve(subscription.id)
    assert (paid.pending_update, paid["items"].data[0].price.id) == (None, advanced.id)


@pytest.mark.parametrize("ends", ["voided", "expired"])
def test_a_change_that_is_never_paid_is_dropped(
    standin: StandIn,
    client: stripe.StripeClient,
    customer: stripe.Customer,
    basic: stripe.Price,
    advanced: stripe.Price,
    ends: str,
) -> None:
    save_card(client, customer)
    subscription = subscribe(client, customer, basic)
    save_card(client, customer, "pm_card_chargeCustomerFail")
    waiting = client.v1.subscriptions.update(
        subscription.id,
        {
            "items": [{"id": subscription["items"].data[0].id, "price": advanced.id}],
            "proration_behavior": "always_invoice",
            "payment_behavior": "pending_if_incomplete",
        },
    )
    save_card(client, customer)
    if ends == "voided":
        client.v1.invoices.void_invoice(waiting.latest_invoice)
    else:
        standin.control(f"subscriptions/{subscription.id}/renew")
        assert len(standin.events("customer.subscription.pending_update_expired")) == 1
    after = client.v1.subscriptions.retrieve(subscription.id)
    assert (after.status, after.pending_update, after["items"].data[0].price.id) == ("active", None, basic.id)
    assert client.v1.invoices.retrieve(waiting.latest_invoice).status == "void"
    with pytest.raises(stripe.InvalidRequestError):
        client.v1.invoices.pay(waiting.latest_invoice)


@pytest.mark.parametrize("behavior", ["allow_incomplete", "error_if_incomplete"])
def test_a_declined_first_payment(
    standin: StandIn, client: stripe.StripeClient, customer: stripe.Customer, basic: stripe.Price, behavior: str
) -> None:
    save_card(client, customer, "pm_card_chargeCustomerFail")
    if behavior == "error_if_incomplete":
        with pytest.raises(stripe.CardError):
            subscribe(client, customer, basic, payment_behavior=behavior)
        assert told(standin, "subscriptions")["data"] == []
        return
    subscription = subscribe(client, customer, basic, payment_behavior=behavior)
    assert (subscription.status, subscription.latest_invoice.status) == ("incomplete", "open")
    page = standin.pay(subscription.latest_invoice.hosted_invoice_url, SECURE_ALWAYS)
    assert page.went_on
    assert client.v1.subscriptions.retrieve(subscription.id).status == "active"


def test_a_failed_renewal_is_tried_again_and_then_ends_the_subscription(
    standin: StandIn, client: stripe.StripeClient, customer: stripe.Customer, basic: stripe.Price
) -> None:
    save_card(client, customer)
    subscription = subscribe(client, customer, basic)
    save_card(client, customer, "pm_card_chargeCustomerFail")
    standin.control(f"subscriptions/{subscription.id}/renew")
    late = client.v1.subscriptions.retrieve(subscription.id, {"expand": ["latest_invoice"]})
    assert (late.status, late.latest_invoice.status, late.latest_invoice.attempt_count) == ("past_due", "open", 1)
    assert late.latest_invoice.next_payment_attempt > late.latest_invoice.created
    for _ in range(3):
        standin.control(f"subscriptions/{subscription.id}/retry")
    ended = client.v1.subscriptions.retrieve(subscription.id)
    assert (ended.status, ended.cancellation_details.reason) == ("canceled", "payment_failed")
    assert kinds(standin, "invoice.payment_failed") == ["invoice.payment_failed"] * 4
    assert kinds(standin, "customer.subscription.deleted") == ["customer.subscription.deleted"]


def test_a_late_payment_makes_a_subscription_active_again(
    standin: StandIn, client: stripe.StripeClient, customer: stripe.Customer, basic: stripe.Price
) -> None:
    save_card(client, customer)
    subscription = subscribe(client, customer, basic)
    failing = save_card(client, customer, "pm_card_chargeCustomerFail")
    standin.control(f"subscriptions/{subscription.id}/renew")
    client.v1.payment_methods.detach(failing)
    save_card(client, customer)
    standin.control(f"subscriptions/{subscription.id}/retry")
    assert client.v1.subscriptions.retrieve(subscription.id).status == "active"


def test_a_renewal_that_needs_the_customer(
    standin: StandIn, client: stripe.StripeClient, customer: stripe.Customer, basic: stripe.Price
) -> None:
    save_card(client, customer)
    subscription = subscribe(client, customer, basic)
    save_card(client, customer, "pm_card_authenticationRequired")
    standin.control(f"subscriptions/{subscription.id}/renew")
    late = client.v1.subscriptions.retrieve(subscription.id, {"expand": ["latest_invoice"]})
    assert late.status == "past_due"
    assert standin.pay(late.latest_invoice.hosted_invoice_url, SECURE_ALWAYS).went_on
    assert client.v1.subscriptions.retrieve(subscription.id).status == "active"


def test_cancelled_at_the_periods_end_and_taken_back(
    standin: StandIn, client: stripe.StripeClient, customer: stripe.Customer, basic: stripe.Price
) -> None:
    save_card(client, customer)
    subscription = subscribe(client, customer, basic)
    client.v1.subscriptions.update(subscription.id, {"cancel_at_period_end": True})
    with pytest.raises(stripe.InvalidRequestError) as refused:
        client.v1.invoices.create_preview({"subscription": subscription.id})
    assert refused.value.code == "invoice_upcoming_none"
    client.v1.subscriptions.update(subscription.id, {"cancel_at_period_end": False})
    standin.control(f"subscriptions/{subscription.id}/renew")
    assert client.v1.subscriptions.retrieve(subscription.id).status == "active"
    client.v1.subscriptions.update(subscription.id, {"cancel_at_period_end": True})
    standin.control(f"subscriptions/{subscription.id}/renew")
    ended = client.v1.subscriptions.retrieve(subscription.id)
    assert (ended.status, ended.ended_at is not None) == ("canceled", True)
    assert len(told(standin, "invoices")["data"]) == 2


def test_cancelled_at_once_with_the_rest_as_a_balance(
    client: stripe.StripeClient, customer: stripe.Customer, basic: stripe.Price
) -> None:
    save_card(client, customer)
    subscription = subscribe(client, customer, basic)
    client.v1.subscriptions.cancel(subscription.id, {"prorate": True, "invoice_now": True})
    assert client.v1.customers.retrieve(customer.id).balance == -BASIC
    assert client.v1.subscriptions.list({"customer": customer.id}).data == []
    assert len(client.v1.subscriptions.list({"customer": customer.id, "status": "all"}).data) == 1


def test_the_last_day_of_a_month_stays_the_last() -> None:
    monthly, january = {"interval": "month", "interval_count": 1}, 1_769_853_600  # 2026-01-31 10:00 UTC
    february = period_end(january, monthly, january)
    assert february == 1_772_272_800  # 2026-02-28 10:00 UTC
    assert period_end(february, monthly, january) == 1_774_951_200  # 2026-03-31 10:00 UTC
