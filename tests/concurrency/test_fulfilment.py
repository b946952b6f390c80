"""Many who hear at once that something was paid: one grant. The control shows that without a lock it would be more."""

from __future__ import annotations

import threading
from functools import partial
from typing import Any

import pytest
from django.utils import timezone

from billing.enums import GrantSource, PaymentStatus
from billing.gateways.stripe.events import read_payload
from billing.models import Grant, Payment
from billing.services.fulfilment import settle
from billing.services.grants import issue_grant
from billing.services.stripe_events import process_due_events, receive
from tenants.identifiers import new_id
from tenants.models import Organization
from tenants.scope import organization_scope
from tests.billing.payments.buying import begin
from tests.concurrency.racing import race
from tests.factories.billing import assert_ledger_clean, balance_of, make_wallet
from tests.factories.payments import make_payment, payment_now, session_of
from tests.stripe_standin import StandIn

pytestmark = pytest.mark.concurrency

AT_ONCE = 8


def grants_of(organization: Organization) -> int:
    with organization_scope(organization.id):
        return Grant.objects.count()


def test_webhook_return_page_and_reconciliation_at_once_credit_once(committed_db: None, alpha: Organization) -> None:
    wallet = make_wallet(alpha)
    payment = make_payment(alpha)
    session = session_of(payment)
    told = race(partial(_settle, session) for _ in range(AT_ONCE))
    assert sum(told.values()) == AT_ONCE
    assert len(told) == 1, "all are told of the same grant"
    assert grants_of(alpha) == 1
    assert balance_of(wallet, now=timezone.now()).available_mtok == payment.tokens_mtok
    assert_ledger_clean()


def test_without_lock_and_key_they_would_credit_more_than_once(committed_db: None, alpha: Organization) -> None:
    """The control: who only looks whether it was paid, and then credits, credits once for each who has looked."""
    wallet = make_wallet(alpha)
    payment = make_payment(alpha)
    all_have_looked = threading.Barrier(AT_ONCE)

    def check_then_credit() -> None:
        found = payment_now(payment.id, alpha)
        all_have_looked.wait(timeout=60)
        if found.grant_id is not None:
            return
        found.grant = issue_grant(
            organization_id=alpha.id,
            tokens_mtok=payment.tokens_mtok,
            source=GrantSource.PURCHASE,
            idempotency_key=str(new_id()),
            now=timezone.now(),
        )
        found.status, found.paid_at = PaymentStatus.PAID, timezone.now()
        with organization_scope(alpha.id):
            # Too late for the others.
            found.save()

    race(check_then_credit for _ in range(AT_ONCE))
    assert balance_of(wallet, now=timezone.now()).available_mtok == AT_ONCE * payment.tokens_mtok


def test_the_database_stands_behind_the_lock(
    committed_db: None, alpha: Organization, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Even if nobody locked the payment, the grant's key would let one through."""
    wallet = make_wallet(alpha)
    payment = make_payment(alpha)
    monkeypatch.setattr(Payment.objects, "select_for_update", lambda **_: Payment.objects.all(), raising=False)
    race(partial(_settle, session_of(payment)) for _ in range(AT_ONCE))
    assert balance_of(wallet, now=timezone.now()).available_mtok == payment.tokens_mtok
    assert grants_of(alpha) == 1


def test_one_event_that_comes_to_many_receivers_at_once_is_one(
    committed_db: None, standin: StandIn, alpha: Organization
) -> None:
    """dj-stripe#1239, and Zulip: an event was looked up before it was stored, so that two at once were both new."""
    make_wallet(alpha)
    payment = begin(alpha)
    standin.pay(payment.checkout_url)
    (told,) = standin.events("checkout.session.completed")
    event = read_payload(told)
    stored = race(partial(receive, event=event, now=timezone.now()) for _ in range(AT_ONCE))
    assert stored == {True: 1, False: AT_ONCE - 1}
    race(process_due_events for _ in range(AT_ONCE))
    assert grants_of(alpha) == 1


def test_the_same_post_at_once_is_one_payment(committed_db: None, standin: StandIn, alpha: Organization) -> None:
    """lago-api#5870: the same top-up POST twice charges twice."""
    begun = race(lambda: begin(alpha, key="order-1").id for _ in range(AT_ONCE))
    assert len(begun) == 1
    assert len(standin.client().v1.checkout.sessions.list().data) == 1
    with organization_scope(alpha.id):
        assert Payment.objects.count() == 1


def _settle(session: Any) -> Any:
    return settle(session=session, now=timezone.now()).grant_id
