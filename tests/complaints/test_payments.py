"""Payments that were credited twice, or never: what others report, tried here end to end."""

from __future__ import annotations

from typing import Any

import pytest
from django.utils import timezone

from billing.enums import EventStatus
from billing.models import StripeEvent
from billing.services import stripe_events
from billing.services.stripe_events import process_due_events
from tenants.models import Organization
from tenants.scope import platform_scope
from tests.api_client import body, manager_of
from tests.billing.payments.buying import begin, grants_of, post_event
from tests.factories.billing import make_wallet
from tests.stripe_standin import StandIn

pytestmark = pytest.mark.django_db


def events() -> list[StripeEvent]:
    with platform_scope("look"):
        return list(StripeEvent.objects.all())


def test_a_payment_that_is_told_of_again_and_again_is_credited_once(standin: StandIn, alpha: Organization) -> None:
    """opencode#28402, pollinations#10621, llmgateway#1713: no idempotency on `checkout.session.completed`.

    Stripe sends the same event again, another event about the same session, and both again three times.
    """
    make_wallet(alpha)
    payment = begin(alpha)
    standin.pay(payment.checkout_url)
    (told,) = standin.events("checkout.session.completed")
    for number in range(3):
        for event in (told, {**told, "id": f"{told['id']}_other"}, {**told, "id": f"{told['id']}_{number}"}):
            assert post_event(event).status_code == 200
            process_due_events()
    assert {event.status for event in events()} == {EventStatus.PROCESSED}
    assert len(events()) == 5
    assert [grant.amount_mtok for grant in grants_of(alpha)] == [1_000_000]


def test_an_event_whose_credit_failed_is_credited_by_the_retry(
    standin: StandIn, alpha: Organization, monkeypatch: pytest.MonkeyPatch
) -> None:
    """LibreChat PR#13812: the event is noted before the credit, so after a failure its retries never credit."""
    make_wallet(alpha)
    payment = begin(alpha)
    standin.pay(payment.checkout_url)
    (told,) = standin.events("checkout.session.completed")

    def broken(*_: Any, **__: Any) -> None:
        raise RuntimeError("in the middle of the credit")

    monkeypatch.setattr("billing.services.fulfilment.issue_grant", broken)
    post_event(told)
    assert process_due_events() == 0
    assert events()[0].status == EventStatus.FAILED
    assert grants_of(alpha) == []
    monkeypatch.undo()
    # Stripe's own retry finds the event known, and answers 200; ours credits it.
    assert post_event(told).status_code == 200
    assert process_due_events(clock=lambda: timezone.now() + stripe_events.LEASE * 2) == 1
    assert len(grants_of(alpha)) == 1


def test_a_handler_that_failed_is_not_told_as_done(
    standin: StandIn, alpha: Organization, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Zulip answers 200 when its handler failed, and nobody tries again; here it stays failed until it is done."""
    monkeypatch.setattr(stripe_events.checkout, "session", lambda _: 1 / 0)
    make_wallet(alpha)
    standin.pay(begin(alpha).checkout_url)
    (told,) = standin.events("checkout.session.completed")
    post_event(told)
    process_due_events()
    (event,) = events()
    assert event.status == EventStatus.FAILED
    assert event.next_try_at is not None
    assert event.finished_at is None


def test_the_same_post_twice_is_one_charge(standin: StandIn, alpha: Organization) -> None:
    """lago-api#5870: the same top-up POST twice charges twice."""
    make_wallet(alpha)
    caller = manager_of(alpha)
    order = {"tokens": 1000, "currency": "CNY"}
    first = body(caller.post("/v1/topups", order, Idempotency_Key="order-1"))
    standin.pay(first["checkout_url"])
    process_due_events()
    again = body(caller.post("/v1/topups", order, Idempotency_Key="order-1"))
    assert again["id"] == first["id"]
    client = standin.client()
    assert len(client.v1.checkout.sessions.list().data) == len(client.v1.charges.list().data) == 1
