"""Tokens for money, exactly once, and for nothing else."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from billing.enums import GrantSource, PaymentStatus
from billing.errors import PaymentUnknown
from billing.models import Grant, Payment
from billing.services.fulfilment import settle
from tenants.models import AuditEvent, Organization
from tenants.scope import organization_scope
from tests.factories.billing import NOW, assert_ledger_clean, balance_of, make_wallet
from tests.factories.payments import make_paid_payment, make_payment, payment_now, session_of

pytestmark = pytest.mark.django_db

LATER = NOW + timedelta(hours=1)


def grants_of(organization: Organization) -> list[Grant]:
    with organization_scope(organization.id):
        return list(Grant.objects.filter(source=GrantSource.PURCHASE))


def actions_of(organization: Organization) -> list[str]:
    with organization_scope(organization.id):
        return list(AuditEvent.objects.order_by("id").values_list("action", flat=True))


def test_what_is_paid_is_credited_and_recorded_together(alpha: Organization) -> None:
    wallet = make_wallet(alpha)
    payment = make_payment(alpha, 1_000_000, valid_days=180, label="Starter")
    settled = settle(session=session_of(payment, tax_minor=60, receipt_url="https://r.example"), now=LATER)
    (grant,) = grants_of(alpha)
    stored = payment_now(payment.id, alpha)
    assert stored.status == PaymentStatus.PAID
    assert (stored.grant_id, stored.paid_at) == (grant.id, LATER)
    assert (stored.amount_minor, stored.tax_minor, stored.total_minor) == (1000, 60, 1060)
    assert (stored.payment_intent_id, stored.receipt_url) == (settled.payment_intent_id, "https://r.example")
    assert stored.checkout_url == ""
    assert (grant.amount_mtok, grant.expires_at) == (1_000_000, LATER + timedelta(days=180))
    assert grant.reference == str(payment.id)
    assert balance_of(wallet).available_mtok == 1_000_000
    assert actions_of(alpha)[-1] == "top_up.paid"
    assert_ledger_clean()


def test_told_again_it_credits_nothing(alpha: Organization) -> None:
    make_wallet(alpha)
    payment = make_payment(alpha)
    for hour in range(3):
        settle(session=session_of(payment), now=NOW + timedelta(hours=hour))
    assert len(grants_of(alpha)) == 1
    assert payment_now(payment.id, alpha).paid_at == NOW
    assert actions_of(alpha).count("top_up.paid") == 1


def test_an_invoice_that_comes_after_the_money_is_kept(alpha: Organization) -> None:
    make_wallet(alpha)
    payment = make_paid_payment(alpha)
    settle(session=session_of(payment, invoice_id="in_1", invoice_url="https://i.example"), now=LATER)
    stored = payment_now(payment.id, alpha)
    assert (stored.invoice_id, stored.invoice_url) == ("in_1", "https://i.example")
    assert len(grants_of(alpha)) == 1


@pytest.mark.parametrize(
    ("told", "status"),
    [
        ({"status": "open", "intent_status": ""}, PaymentStatus.OPEN),
        ({"status": "complete", "intent_status": "processing"}, PaymentStatus.PROCESSING),
        ({"status": "complete", "intent_status": "requires_payment_method"}, PaymentStatus.FAILED),
        ({"status": "complete", "intent_status": "canceled"}, PaymentStatus.FAILED),
        ({"status": "expired", "intent_status": ""}, PaymentStatus.EXPIRED),
    ],
)
def test_without_money_no_tokens(told: dict[str, Any], status: PaymentStatus, alpha: Organization) -> None:
    make_wallet(alpha)
    payment = make_payment(alpha)
    settle(session=session_of(payment, payment_status="unpaid", **told), now=LATER)
    assert payment_now(payment.id, alpha).status == status
    assert grants_of(alpha) == []


def test_money_that_comes_late_is_credited_also_after_it_was_given_up(alpha: Organization) -> None:
    make_wallet(alpha)
    payment = make_payment(alpha)
    for told in ({"status": "complete", "intent_status": "processing"}, {"status": "expired"}):
        settle(session=session_of(payment, payment_status="unpaid", **told), now=NOW)
    assert payment_now(payment.id, alpha).status == PaymentStatus.EXPIRED
    settle(session=session_of(payment), now=NOW + timedelta(days=3))
    assert payment_now(payment.id, alpha).status == PaymentStatus.PAID
    assert len(grants_of(alpha)) == 1


def test_news_that_come_out_of_order_take_nothing_back(alpha: Organization) -> None:
    wallet = make_wallet(alpha)
    payment = make_paid_payment(alpha)
    for told in ({"status": "open"}, {"status": "expired"}, {"status": "complete", "intent_status": "canceled"}):
        settle(session=session_of(payment, payment_status="unpaid", **told), now=LATER)
    assert payment_now(payment.id, alpha).status == PaymentStatus.PAID
    assert balance_of(wallet).available_mtok == payment.tokens_mtok


@pytest.mark.parametrize(
    ("word", "told"),
    [
        ("amount", {"subtotal_minor": 1, "total_minor": 1}),
        ("total", {"total_minor": 1}),
        ("discount", {"discount_minor": 999, "total_minor": 1}),
        ("currency", {"currency": "USD"}),
        ("customer", {"customer_id": "cus_somebody_else"}),
        ("session", {"id": "cs_another_session"}),
        ("organization", {"metadata": {"organization": "019aa3b2-7c1e-7c3a-9a55-0d5a3b6c1f10"}}),
        ("organization", {"metadata": {}}),
    ],
)
def test_what_was_not_asked_for_credits_nothing_and_alarms(
    word: str, told: dict[str, Any], alpha: Organization
) -> None:
    make_wallet(alpha)
    payment = make_payment(alpha)
    settle(session=session_of(payment, **told), now=LATER)
    stored = payment_now(payment.id, alpha)
    assert stored.status == PaymentStatus.OPEN
    assert word in stored.alarm
    assert grants_of(alpha) == []
    # Once Stripe says what was asked for, the alarm is over.
    settle(session=session_of(payment), now=LATER)
    assert payment_now(payment.id, alpha).alarm == ""
    assert len(grants_of(alpha)) == 1


@pytest.mark.parametrize("reference", ["", "not-an-id", "019aa3b2-7c1e-7c3a-9a55-0d5a3b6c1f10"])
def test_a_session_that_is_not_ours_is_unknown(reference: str, alpha: Organization) -> None:
    payment = make_payment(alpha)
    with pytest.raises(PaymentUnknown):
        settle(session=session_of(payment, reference=reference), now=LATER)
    assert payment_now(payment.id, alpha).status == PaymentStatus.OPEN


def test_another_organization_gets_nothing_of_it(alpha: Organization, beta: Organization) -> None:
    make_wallet(alpha)
    wallet = make_wallet(beta)
    payment = make_payment(alpha)
    theirs = make_payment(beta, checkout_session_id="")
    # A session of Alpha's that claims to be for Beta's payment.
    settle(session=session_of(payment, reference=str(theirs.id)), now=LATER)
    assert grants_of(alpha) == grants_of(beta) == []
    assert payment_now(theirs.id, beta).alarm
    assert balance_of(wallet).available_mtok == 0


def test_the_database_refuses_paid_without_tokens(alpha: Organization) -> None:
    payment = make_payment(alpha)
    with pytest.raises(Exception, match="payment_paid_has_its_grant"), organization_scope(alpha.id):
        Payment.objects.filter(id=payment.id).update(status="paid", paid_at=NOW)
