"""What Stripe tells: only what it signed is believed, everything is kept before it is used, and used once."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from http import HTTPStatus
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone
from pytest_django.fixtures import Settings

from billing.enums import EventStatus, PaymentStatus
from billing.errors import GatewayAway
from billing.models import Payment, StripeEvent
from billing.services import stripe_events
from billing.services.stripe_events import HANDLERS, forget_old_events, process_due_events, run_again, wait_after
from billing.views.stripe_webhook import MOST_BYTES
from portal.settings import BASE_DIR
from tenants.actors import staff_actor
from tenants.identifiers import new_id
from tenants.models import AuditEvent, Organization
from tenants.scope import organization_scope, platform_scope
from tests.billing.payments.buying import HOOK, begin, deliver, grants_of, post_event, post_raw
from tests.factories.billing import assert_ledger_clean, make_wallet
from tests.factories.payments import payment_now
from tests.stripe_standin import WEBHOOK_SECRET, StandIn, signed

pytestmark = pytest.mark.django_db

COMPLETED = "checkout.session.completed"
DAYS = 24 * 3600


def stored() -> list[StripeEvent]:
    with platform_scope("look"):
        return list(StripeEvent.objects.order_by("received_at", "id"))


def at(moment: datetime) -> Callable[[], datetime]:
    """Return a clock that stands still."""
    return lambda: moment


@pytest.fixture
def payment(standin: StandIn, alpha: Organization) -> Payment:
    """A payment that was paid with a card; nobody has told us."""
    make_wallet(alpha)
    begun = begin(alpha)
    assert standin.pay(begun.checkout_url).went_on
    return begun


@pytest.fixture
def completed(standin: StandIn, payment: Payment) -> dict[str, Any]:
    """The event that tells of it."""
    (event,) = standin.events(COMPLETED)
    return event


class TestTheDoor:
    def test_what_is_signed_is_kept_and_nothing_is_made_of_it_yet(
        self, alpha: Organization, completed: dict[str, Any]
    ) -> None:
        assert post_event(completed).status_code == HTTPStatus.OK
        (event,) = stored()
        assert (event.event_id, event.type, event.status) == (completed["id"], COMPLETED, EventStatus.RECEIVED)
        assert event.payload["data"]["object"]["id"] == completed["data"]["object"]["id"]
        assert grants_of(alpha) == []

    @pytest.mark.parametrize("age", [310, 3 * DAYS])
    def test_an_old_signature_is_refused(self, completed: dict[str, Any], age: int) -> None:
        assert post_event(completed, at=time.time() - age).status_code == HTTPStatus.BAD_REQUEST
        assert stored() == []

    def test_a_signature_of_the_last_minutes_is_taken(self, completed: dict[str, Any]) -> None:
        assert post_event(completed, at=time.time() - 200).status_code == HTTPStatus.OK

    def test_a_foreign_signature_is_refused(self, completed: dict[str, Any]) -> None:
        body, signature = signed(completed)
        other = json.dumps({**completed, "id": "evt_other"}).encode()
        unsigned = Client().post(HOOK, body, content_type="application/json")
        answers = [
            post_event(completed, secret="whsec_somebody_else"),
            post_raw(other, signature),
            post_raw(body, signature.replace("v1=", "v0=")),
            post_raw(body, ""),
            post_raw(body, "t=,v1="),
            post_raw(b"\xff\xfe", signature),
            unsigned,
        ]
        assert {answer.status_code for answer in answers} == {HTTPStatus.BAD_REQUEST}
        assert all(WEBHOOK_SECRET not in answer.content.decode() for answer in answers)
        assert stored() == []

    @pytest.mark.parametrize(
        "event",
        [
            {},
            [],
            {"object": "event"},
            {"object": "v2.core.event", "id": "evt_1", "type": "x"},
            {"object": "event", "id": 1},
        ],
    )
    def test_what_is_signed_and_no_event_is_refused(self, standin: StandIn, event: Any) -> None:
        assert post_event(event).status_code == HTTPStatus.BAD_REQUEST
        assert stored() == []

    def test_a_body_that_is_too_large_is_refused_unread(self, standin: StandIn, completed: dict[str, Any]) -> None:
        large = {**completed, "padding": "x" * MOST_BYTES}
        assert post_event(large).status_code == HTTPStatus.REQUEST_ENTITY_TOO_LARGE
        assert stored() == []

    def test_it_takes_posts_alone_and_needs_no_form_token(self, standin: StandIn, completed: dict[str, Any]) -> None:
        assert Client().get(HOOK).status_code == HTTPStatus.METHOD_NOT_ALLOWED
        body, signature = signed(completed)
        strict = Client(enforce_csrf_checks=True)
        answer = strict.post(HOOK, body, content_type="application/json", headers={"Stripe-Signature": signature})
        assert answer.status_code == HTTPStatus.OK

    def test_without_a_key_there_is_nothing_here(self, completed: dict[str, Any], settings: Settings) -> None:
        settings.STRIPE_SECRET_KEY = ""
        assert post_event(completed).status_code == HTTPStatus.NOT_FOUND

    def test_client_secrets_are_not_kept(self, standin: StandIn, payment: Payment) -> None:
        told = standin.events("payment_intent.succeeded")[0]
        secret = told["data"]["object"]["client_secret"]
        assert post_event(told).status_code == HTTPStatus.OK
        assert secret not in json.dumps(stored()[0].payload)


class TestOnce:
    def test_told_it_is_credited(self, alpha: Organization, payment: Payment, completed: dict[str, Any]) -> None:
        post_event(completed)
        assert process_due_events() == 1
        assert stored()[0].status == EventStatus.PROCESSED
        assert [grant.amount_mtok for grant in grants_of(alpha)] == [1_000_000]
        assert payment_now(payment.id, alpha).status == PaymentStatus.PAID
        assert_ledger_clean()

    def test_delivered_five_times_it_is_one_event_and_one_grant(
        self, alpha: Organization, completed: dict[str, Any]
    ) -> None:
        for _ in range(5):
            assert post_event(completed).status_code == HTTPStatus.OK
            process_due_events()
        assert len(stored()) == 1
        assert len(grants_of(alpha)) == 1

    def test_all_events_in_any_order_make_one_grant(
        self, standin: StandIn, alpha: Organization, payment: Payment
    ) -> None:
        events = standin.events()
        for event in reversed(events):
            post_event(event)
        process_due_events()
        assert len(stored()) == len(events) > 3
        assert {event.status for event in stored()} == {EventStatus.PROCESSED, EventStatus.IGNORED}
        assert len(grants_of(alpha)) == 1

    def test_late_by_three_days_it_is_credited(self, alpha: Organization, completed: dict[str, Any]) -> None:
        completed["created"] -= 3 * DAYS
        assert post_event(completed).status_code == HTTPStatus.OK
        process_due_events()
        assert len(grants_of(alpha)) == 1

    def test_what_the_event_says_is_not_believed(self, standin: StandIn, alpha: Organization) -> None:
        """Stripe is asked: a session that nobody has paid brings nothing, whatever the event says of it."""
        make_wallet(alpha)
        begun = begin(alpha)
        found = standin.client().v1.checkout.sessions.retrieve(begun.checkout_session_id).to_dict()
        event = {
            "id": "evt_optimist",
            "object": "event",
            "type": COMPLETED,
            "created": int(time.time()),
            "livemode": False,
            "data": {"object": {**found, "status": "complete", "payment_status": "paid"}},
        }
        post_event(event)
        process_due_events()
        assert stored()[0].status == EventStatus.PROCESSED
        assert payment_now(begun.id, alpha).status == PaymentStatus.OPEN
        assert grants_of(alpha) == []


class TestWhatIsNotForUs:
    @pytest.mark.parametrize(
        "changes",
        [{"livemode": True}, {"account": "acct_other"}, {"type": "customer.tax_id.created"}, {"type": "x" * 200}],
    )
    def test_it_is_kept_and_ignored(
        self, alpha: Organization, completed: dict[str, Any], changes: dict[str, Any]
    ) -> None:
        post_event({**completed, **changes})
        process_due_events()
        (event,) = stored()
        assert event.status == EventStatus.IGNORED
        assert bool(event.last_error) == ("type" not in changes)
        assert grants_of(alpha) == []

    def test_a_live_key_takes_no_test_money(
        self, alpha: Organization, completed: dict[str, Any], settings: Settings
    ) -> None:
        settings.STRIPE_SECRET_KEY = "sk_live_" + "x" * 24
        post_event(completed)
        process_due_events()
        assert stored()[0].status == EventStatus.IGNORED
        assert grants_of(alpha) == []

    def test_another_api_version_is_processed_all_the_same(
        self, alpha: Organization, completed: dict[str, Any]
    ) -> None:
        """Only type and id are taken from the event; the rest is asked for in the version that is pinned."""
        post_event({**completed, "api_version": "2019-02-11"})
        process_due_events()
        assert stored()[0].status == EventStatus.PROCESSED
        assert len(grants_of(alpha)) == 1

    def test_a_session_of_another_business_on_the_same_account_is_ignored(self, standin: StandIn) -> None:
        client = standin.client()
        client.v1.checkout.sessions.create(
            {
                "mode": "payment",
                "success_url": "https://elsewhere.example",
                "line_items": [
                    {
                        "quantity": 1,
                        "price_data": {"currency": "usd", "unit_amount": 900, "product_data": {"name": "A cup"}},
                    }
                ],
            }
        )
        found = client.v1.checkout.sessions.list().data[0].to_dict()
        post_event(
            {
                "id": "evt_elsewhere",
                "object": "event",
                "type": COMPLETED,
                "created": int(time.time()),
                "livemode": False,
                "data": {"object": found},
            }
        )
        process_due_events()
        assert stored()[0].status == EventStatus.IGNORED


class TestFailing:
    def test_while_stripe_is_away_it_waits_longer_and_longer_and_is_credited_then(
        self, standin: StandIn, alpha: Organization, completed: dict[str, Any]
    ) -> None:
        post_event(completed)
        now = timezone.now()
        # The library asks three times in each attempt.
        standin.go_away(6)
        for attempt in (1, 2):
            assert process_due_events(clock=at(now)) == 0
            (event,) = stored()
            assert (event.status, event.attempts) == (EventStatus.FAILED, attempt)
            assert "GatewayAway" in event.last_error
            assert event.next_try_at is not None
            assert process_due_events(clock=at(now)) == 0, "not before its time"
            now = event.next_try_at
        assert grants_of(alpha) == []
        assert process_due_events(clock=at(now)) == 1
        assert stored()[0].status == EventStatus.PROCESSED
        assert len(grants_of(alpha)) == 1

    def test_the_waits_grow_to_hours_and_end_after_three_days(self) -> None:
        waits = [wait_after(attempt) for attempt in range(1, stripe_events.MOST_ATTEMPTS)]
        assert waits[:3] == [timedelta(seconds=10), timedelta(seconds=40), timedelta(seconds=160)]
        assert waits == sorted(waits)
        assert timedelta(days=2.5) < sum(waits, timedelta()) < timedelta(days=4)

    def test_given_up_it_stays_for_staff_who_run_it_again_for_a_reason(
        self, alpha: Organization, completed: dict[str, Any], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def away(**_: Any) -> None:
            raise GatewayAway("503")

        monkeypatch.setattr(stripe_events.checkout, "session", lambda _: away())
        post_event(completed)
        now = timezone.now()
        for _ in range(stripe_events.MOST_ATTEMPTS):
            process_due_events(clock=at(now))
            now = stored()[0].next_try_at or now
        event = stored()[0]
        assert (event.status, event.next_try_at) == (EventStatus.FAILED, None)
        assert process_due_events(clock=at(now + timedelta(days=30))) == 0
        monkeypatch.undo()
        sam = staff_actor(new_id(), "sam@tokensight.example")
        assert run_again(event_id=event.id, reason="Stripe was away all week", key="1", actor=sam, now=now)
        assert process_due_events(clock=at(now)) == 1
        event = stored()[0]
        assert event.status == EventStatus.PROCESSED
        assert [(act["by"], act["reason"]) for act in event.acts] == [(sam.name, "Stripe was away all week")]
        assert len(grants_of(alpha)) == 1
        with organization_scope(alpha.id):
            told = AuditEvent.objects.get(action="payment_event.run_again")
        assert (told.actor_name, told.reason) == (sam.name, "Stripe was away all week")
        assert not run_again(event_id=event.id, reason="Once more for luck", key="2", actor=sam, now=now)

    def test_an_effect_that_fails_leaves_the_event_undone(
        self, alpha: Organization, completed: dict[str, Any], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The mark and the effect are one transaction: no event that is done and brought nothing."""

        def broken(**_: Any) -> None:
            raise RuntimeError(f"with {WEBHOOK_SECRET}")

        monkeypatch.setattr("billing.services.fulfilment.audit.record", broken)
        post_event(completed)
        now = timezone.now()
        assert process_due_events(clock=at(now)) == 0
        assert stored()[0].status == EventStatus.FAILED
        assert stored()[0].last_error == "RuntimeError"
        assert grants_of(alpha) == []
        monkeypatch.undo()
        assert process_due_events(clock=at(now + timedelta(hours=1))) == 1
        assert len(grants_of(alpha)) == 1


def test_old_events_are_forgotten_but_not_those_that_failed(settings: Settings, standin: StandIn) -> None:
    settings.STRIPE_EVENTS_KEPT_DAYS = 30
    now = timezone.now()
    with platform_scope("test data"):
        for number, (status, age) in enumerate(
            [("processed", 31), ("ignored", 31), ("processed", 29), ("failed", 400)]
        ):
            StripeEvent.objects.create(
                event_id=f"evt_{number}",
                type="x",
                payload={},
                happened_at=now,
                received_at=now - timedelta(days=age),
                status=status,
                finished_at=None if status == "failed" else now,
            )
    assert forget_old_events(now) == 2
    assert sorted(event.event_id for event in stored()) == ["evt_2", "evt_3"]


def test_the_stand_in_s_own_events_are_taken(standin: StandIn, alpha: Organization, payment: Payment) -> None:
    assert deliver(standin) > 3
    assert payment_now(payment.id, alpha).status == PaymentStatus.PAID


def test_the_docs_list_the_events_that_are_acted_on() -> None:
    """One list, and a true one: an event that is not sent is one that nobody hears."""
    said = (BASE_DIR / "docs" / "payments.md").read_text().partition("## Setting it up")[2]
    listed = set(re.findall(r"`((?:checkout|payment_intent|customer|invoice|refund|charge)\.[a-z_.]+)`", said))
    assert listed == set(HANDLERS)
