"""What staff see of payments and do about them: alarms, failed events, the night's comparison; and no secret."""

from __future__ import annotations

from http import HTTPStatus
from uuid import uuid4

import pytest
from django.test import Client
from django.utils import timezone

from billing.enums import EventStatus, PaymentStatus
from billing.models import Payment, StripeEvent
from billing.services.reconciliation import reconcile_payments
from billing.services.stripe_events import process_due_events
from tenants.models import AuditEvent, Organization, User
from tenants.scope import organization_scope, platform_scope
from tests.billing.payments.buying import begin, grants_of
from tests.factories.billing import make_wallet
from tests.factories.payments import make_stripe_event, payment_now
from tests.stripe_standin import StandIn

pytestmark = pytest.mark.django_db

REASON = "The customer called, ticket 4711"


def text(answer: object) -> str:
    return answer.content.decode()  # type: ignore[attr-defined]


def test_a_failed_event_is_seen_and_run_again_for_a_reason(
    staff: Client, standin: StandIn, alpha: Organization, sam: User
) -> None:
    make_wallet(alpha)
    payment = begin(alpha)
    standin.pay(payment.checkout_url)
    (told,) = standin.events("checkout.session.completed")
    event = make_stripe_event(
        about=told["data"]["object"],
        event_id=told["id"],
        status=EventStatus.FAILED,
        attempts=18,
        next_try_at=None,
        last_error="GatewayAway: APIError 503",
    )
    assert "1 event failed" in text(staff.get("/staff/payments/"))
    assert event.event_id in text(staff.get("/staff/payments/events/?status=failed"))
    assert event.event_id not in text(staff.get("/staff/payments/events/?status=processed"))
    page = f"/staff/payments/events/{event.id}/"
    assert "GatewayAway: APIError 503" in text(staff.get(page))
    assert process_due_events() == 0
    # Without a reason nothing happens.
    assert staff.post(page, {"reason": "", "key": str(uuid4())}).status_code == HTTPStatus.OK
    assert process_due_events() == 0
    staff.post(page, {"reason": REASON, "key": str(uuid4())})
    assert process_due_events() == 1
    assert len(grants_of(alpha)) == 1
    shown = text(staff.get(page))
    assert REASON in shown
    assert "Process it again" not in shown
    with organization_scope(alpha.id):
        told_to_alpha = AuditEvent.objects.get(action="payment_event.run_again")
    assert (told_to_alpha.actor_name, told_to_alpha.reason) == (sam.email, REASON)


def test_an_event_is_shown_without_secrets_and_without_who_paid(staff: Client) -> None:
    about = {
        "object": "payment_intent",
        "id": "pi_1",
        "client_secret": "pi_1_secret_planted0815",
        "customer_details": {"email": "planted@customer.example", "address": {"line1": "Planted Street 1"}},
        "receipt_email": "planted@customer.example",
        "metadata": {"note": "sk_live_" + "51HqLyjWDarjtT1zdp7dcAbCdEf"},
        "charges": [{"payment_method_details": {"card": {"fingerprint": "Xt5EWLlfzsGN", "last4": "4242"}}}],
    }
    event = make_stripe_event("payment_intent.succeeded", about)
    shown = text(staff.get(f"/staff/payments/events/{event.id}/"))
    assert "4242" in shown
    for secret in ("planted0815", "51HqLyjWDarjtT1zdp7dc", "Xt5EWLlfzsGN", "planted@customer", "Planted Street"):
        assert secret not in shown


def test_what_is_not_as_ordered_is_seen_and_credited_once_it_is(
    staff: Client, standin: StandIn, alpha: Organization
) -> None:
    make_wallet(alpha)
    payment = begin(alpha)
    standin.pay(payment.checkout_url)
    with organization_scope(alpha.id):
        Payment.objects.filter(id=payment.id).update(amount_minor=1, alarm="amount: 1 asked, 1000 at Stripe")
    assert "amount: 1 asked, 1000 at Stripe" in text(staff.get("/staff/payments/"))
    act = f"/staff/organizations/{alpha.id}/acts/look-at-payment/{payment.id}/"
    form = {"reason": REASON, "key": str(uuid4())}
    assert "1,000 Tokens are credited" in text(staff.post(act, form))
    staff.post(act, {**form, "confirmed": "1"})
    assert payment_now(payment.id, alpha).status == PaymentStatus.OPEN
    assert grants_of(alpha) == []
    with organization_scope(alpha.id):
        Payment.objects.filter(id=payment.id).update(amount_minor=1000)
    staff.post(act, {**form, "confirmed": "1"})
    assert payment_now(payment.id, alpha).status == PaymentStatus.PAID
    assert len(grants_of(alpha)) == 1
    with organization_scope(alpha.id):
        assert AuditEvent.objects.filter(action="payment.looked_up", reason=REASON).count() == 2
    assert "amount: 1 asked" not in text(staff.get("/staff/payments/"))


def test_the_night_s_comparison_is_seen(staff: Client, standin: StandIn, alpha: Organization) -> None:
    assert "Not compared yet" in text(staff.get("/staff/payments/"))
    reconcile_payments(now=timezone.now())
    assert "Agree" in text(staff.get("/staff/payments/"))


def test_only_what_is_not_finished_is_run_again(staff: Client) -> None:
    event = make_stripe_event(status=EventStatus.PROCESSED, finished_at=timezone.now(), next_try_at=None)
    staff.post(f"/staff/payments/events/{event.id}/", {"reason": REASON, "key": str(uuid4())})
    with platform_scope("look"):
        assert StripeEvent.objects.get().acts == []
