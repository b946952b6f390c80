"""The hosted page of the stand-in for Stripe: cards that pay, are declined, ask for 3-D Secure, are saved."""

from __future__ import annotations

from typing import Any

import pytest
import stripe

from tests.receiving import Receiver
from tests.stripe_standin import (
    CHARGES_FAIL,
    DECLINED,
    NO_MONEY,
    PAID,
    PATIENCE_SECONDS,
    SECURE_ALWAYS,
    SECURE_ONCE,
    WEBHOOK_SECRET,
    StandIn,
)

BACK = "http://localhost:8000/back?session={CHECKOUT_SESSION_ID}"


def session_of(client: stripe.StripeClient, customer: stripe.Customer, **params: Any) -> stripe.checkout.Session:
    item = {"price_data": {"currency": "cny", "unit_amount": 990, "product_data": {"name": "Pack"}}, "quantity": 2}
    asked = {"mode": "payment", "customer": customer.id, "success_url": BACK, "cancel_url": "http://localhost:8000/"}
    if params.get("mode") != "setup":
        asked["line_items"] = [item]
    return client.v1.checkout.sessions.create({**asked, **params})


def test_a_card_pays(standin: StandIn, client: stripe.StripeClient, customer: stripe.Customer) -> None:
    session = session_of(client, customer, metadata={"payment": "7"}, payment_intent_data={"metadata": {"for": "x"}})
    assert (session.status, session.payment_status, session.payment_intent) == ("open", "unpaid", None)
    page = standin.pay(session.url)
    assert page.location == BACK.replace("{CHECKOUT_SESSION_ID}", session.id)
    paid = client.v1.checkout.sessions.retrieve(session.id, {"expand": ["payment_intent.latest_charge"]})
    assert (paid.status, paid.payment_status, paid.amount_total) == ("complete", "paid", 1980)
    assert paid.payment_intent.metadata["for"] == "x"
    assert paid.payment_intent.latest_charge.amount_captured == 1980
    (event,) = standin.events("checkout.session.completed")
    assert event["data"]["object"]["metadata"] == {"payment": "7"}
    assert event["api_version"] == stripe.api_version
    assert "Already paid" in standin.submit(session.url, act="pay").text


@pytest.mark.parametrize(
    ("number", "code", "decline_code"),
    [
        (DECLINED, "card_declined", "generic_decline"),
        (NO_MONEY, "card_declined", "insufficient_funds"),
        (CHARGES_FAIL, "card_declined", "generic_decline"),
    ],
)
def test_a_declined_card_leaves_the_session_open(
    standin: StandIn, client: stripe.StripeClient, customer: stripe.Customer, number: str, code: str, decline_code: str
) -> None:
    session = session_of(client, customer)
    page = standin.pay(session.url, number)
    assert (page.status, 'role="alert"' in page.text) == (402, True)
    (event,) = standin.events("payment_intent.payment_failed")
    error = event["data"]["object"]["last_payment_error"]
    assert (error["type"], error["code"], error["decline_code"]) == ("card_error", code, decline_code)
    assert client.v1.checkout.sessions.retrieve(session.id).status == "open"
    assert standin.pay(session.url).went_on
    assert len(standin.events("payment_intent.created")) == 1
    assert client.v1.checkout.sessions.retrieve(session.id).payment_status == "paid"


def test_3d_secure_is_asked_for_and_can_fail(
    standin: StandIn, client: stripe.StripeClient, customer: stripe.Customer
) -> None:
    session = session_of(client, customer)
    page = standin.pay(session.url, SECURE_ONCE, secure=False)
    assert page.location == session.url
    assert "failed authentication" in standin.http.get(session.url).text
    assert standin.events("checkout.session.completed") == []
    page = standin.pay(session.url, SECURE_ONCE)
    assert page.location == BACK.replace("{CHECKOUT_SESSION_ID}", session.id)
    assert client.v1.checkout.sessions.retrieve(session.id).payment_status == "paid"


@pytest.mark.parametrize(
    ("number", "refused"),
    [
        (PAID, None),
        (SECURE_ONCE, None),
        (SECURE_ALWAYS, "authentication_required"),
        (CHARGES_FAIL, "card_declined"),
    ],
)
def test_a_saved_card_is_charged_off_session(
    standin: StandIn, client: stripe.StripeClient, customer: stripe.Customer, number: str, refused: str | None
) -> None:
    session = session_of(client, customer, mode="setup", currency="cny")
    assert standin.pay(session.url, number).went_on
    done = client.v1.checkout.sessions.retrieve(session.id, {"expand": ["setup_intent"]})
    assert (done.status, done.payment_status) == ("complete", "no_payment_required")
    (method,) = client.v1.customers.payment_methods.list(customer.id).data
    assert method.id == done.setup_intent.payment_method
    asked = {
        "amount": 5000,
        "currency": "cny",
        "customer": customer.id,
        "payment_method": method.id,
        "off_session": True,
        "confirm": True,
    }
    if refused is None:
        assert client.v1.payment_intents.create(asked).status == "succeeded"
        return
    with pytest.raises(stripe.CardError) as error:
        client.v1.payment_intents.create(asked)
    assert error.value.http_status == 402
    assert error.value.code == refused
    assert error.value.error.payment_intent.status == "requires_payment_method"


def test_a_refused_off_session_payment_is_confirmed_by_its_owner(
    standin: StandIn, client: stripe.StripeClient, customer: stripe.Customer
) -> None:
    session = session_of(client, customer, mode="setup", currency="cny")
    standin.pay(session.url, SECURE_ALWAYS)
    (method,) = client.v1.customers.payment_methods.list(customer.id).data
    asked = {"amount": 5000, "currency": "cny", "customer": customer.id, "payment_method": method.id}
    with pytest.raises(stripe.CardError) as refused:
        client.v1.payment_intents.create({**asked, "off_session": True, "confirm": True})
    intent = client.v1.payment_intents.confirm(
        refused.value.error.payment_intent.id, {"payment_method": method.id, "return_url": "http://localhost:8000/x"}
    )
    assert intent.status == "requires_action"
    page = standin.authenticate(intent.next_action.redirect_to_url.url)
    assert str(page.location).startswith("http://localhost:8000/x?payment_intent=pi_")
    assert client.v1.payment_intents.retrieve(intent.id).status == "succeeded"


def test_a_declined_card_cannot_be_saved(
    standin: StandIn, client: stripe.StripeClient, customer: stripe.Customer
) -> None:
    session = session_of(client, customer, mode="setup", currency="cny")
    assert standin.pay(session.url, DECLINED).status == 402
    assert client.v1.customers.payment_methods.list(customer.id).data == []


@pytest.mark.parametrize(
    ("typed", "told"),
    [
        ({"number": "4111111111111111"}, "used a non test card"),
        ({"number": "1234"}, "number is incorrect"),
        ({"expiry": "01/20"}, "expiration year is invalid"),
        ({"expiry": "soon"}, "month / year"),
        ({"cvc": "x"}, "security code"),
        ({"country": ""}, "Choose your country"),
        ({"email": "nobody"}, "mail address"),
    ],
)
def test_what_was_typed_wrongly_is_told_and_kept(
    standin: StandIn, client: stripe.StripeClient, typed: dict[str, str], told: str
) -> None:
    session = session_of(client, client.v1.customers.create({}))
    page = standin.pay(session.url, **{"number": PAID, "name": "Somebody", **typed})
    assert 400 <= page.status < 403
    assert told in page.text
    assert 'value="Somebody"' in page.text
    assert standin.events("charge.failed", "charge.succeeded") == []


def test_tax_follows_the_country_and_the_customer_is_updated(
    standin: StandIn, client: stripe.StripeClient, customer: stripe.Customer
) -> None:
    session = session_of(
        client,
        customer,
        automatic_tax={"enabled": True},
        tax_id_collection={"enabled": True},
        customer_update={"address": "auto", "name": "auto"},
    )
    assert "23.56 CNY" in standin.submit(session.url, act="update", country="DE").text
    standin.pay(session.url, country="DE", name="Beispiel GmbH", tax_id_type="eu_vat", tax_id="DE123456789")
    paid = client.v1.checkout.sessions.retrieve(session.id)
    assert (paid.amount_subtotal, paid.total_details.amount_tax, paid.amount_total) == (1980, 376, 2356)
    assert paid.customer_details.tax_ids[0].value == "DE123456789"
    found = client.v1.customers.retrieve(customer.id, {"expand": ["tax_ids"]})
    assert (found.name, found.address.country, found.tax_ids.data[0].type) == ("Beispiel GmbH", "DE", "eu_vat")


def test_tax_needs_an_address_or_leave_to_ask_for_one(client: stripe.StripeClient) -> None:
    with pytest.raises(stripe.InvalidRequestError, match="requires a valid address") as refused:
        session_of(client, client.v1.customers.create({}), automatic_tax={"enabled": True})
    assert refused.value.code == "customer_tax_location_invalid"


@pytest.mark.parametrize("succeeds", [True, False])
def test_a_bank_debit_arrives_later_or_never(
    standin: StandIn, client: stripe.StripeClient, customer: stripe.Customer, succeeds: bool
) -> None:
    session = session_of(client, customer)
    assert standin.pay(session.url, method="settles").went_on
    waiting = client.v1.checkout.sessions.retrieve(session.id)
    assert (waiting.status, waiting.payment_status) == ("complete", "unpaid")
    standin.settle(waiting.payment_intent, succeeds=succeeds)
    ended = client.v1.checkout.sessions.retrieve(session.id)
    assert ended.payment_status == ("paid" if succeeds else "unpaid")
    kinds = [event["type"] for event in standin.events() if event["type"].startswith("checkout.session.")]
    last = "async_payment_succeeded" if succeeds else "async_payment_failed"
    assert kinds == ["checkout.session.completed", f"checkout.session.{last}"]


def test_an_expired_session_cannot_be_paid(
    standin: StandIn, client: stripe.StripeClient, customer: stripe.Customer
) -> None:
    session = session_of(client, customer)
    assert client.v1.checkout.sessions.expire(session.id).status == "expired"
    assert standin.pay(session.url).status == 410
    assert [event["type"] for event in standin.events("checkout.session.expired", "charge.succeeded")] == [
        "checkout.session.expired"
    ]
    with pytest.raises(stripe.InvalidRequestError):
        client.v1.checkout.sessions.expire(session.id)


def test_webhooks_are_signed_and_come_again_until_they_are_taken(
    standin: StandIn, client: stripe.StripeClient, customer: stripe.Customer
) -> None:
    receiver = Receiver()
    receiver.statuses = [500, 503, 200]
    with receiver.running():
        standin.send_webhooks_to(receiver.url, ["checkout.session.completed"])
        session = session_of(client, customer)
        standin.pay(session.url)
        standin.wait_for_deliveries()
    assert len(receiver.received) == 3
    for delivery in receiver.received:
        event = stripe.Webhook.construct_event(delivery.body, delivery.headers["Stripe-Signature"], WEBHOOK_SECRET)
        assert event.data.object.id == session.id
    with pytest.raises(stripe.SignatureVerificationError):
        stripe.Webhook.construct_event(delivery.body, delivery.headers["Stripe-Signature"], "whsec_another")
    assert client.v1.events.retrieve(event.id).pending_webhooks == 0


def test_what_is_forgotten_is_told_to_nobody_later(
    standin: StandIn, client: stripe.StripeClient, customer: stripe.Customer
) -> None:
    """A try that waits for its turn would otherwise come to who is asked to be told next."""
    receiver = Receiver()
    receiver.statuses = [500]
    with receiver.running():
        standin.send_webhooks_to(receiver.url, ["customer.updated"])
        client.v1.customers.update(customer.id, {"name": "Ada"})
        assert receiver.arrivals.acquire(timeout=PATIENCE_SECONDS)
        standin.flush()
        receiver.statuses = [200]
        told = len(receiver.received)
        standin.send_webhooks_to(receiver.url)
        standin.wait_for_deliveries()
        assert len(receiver.received) == told


def test_an_event_is_delivered_again_as_from_elsewhere(
    standin: StandIn, client: stripe.StripeClient, customer: stripe.Customer
) -> None:
    (event,) = standin.events("customer.created")
    receiver = Receiver()
    with receiver.running():
        standin.send_webhooks_to(receiver.url)
        standin.deliver(event["id"], times=3)
        standin.deliver(event["id"], api_version="2020-08-27", account="acct_other")
        standin.wait_for_deliveries()
    assert [delivery.json["id"] for delivery in receiver.received] == [event["id"]] * 4
    assert sum(delivery.json.get("account") == "acct_other" for delivery in receiver.received) == 1
