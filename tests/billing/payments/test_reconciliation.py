"""Stripe's payments and the ledger's grants, compared both ways: what was missed is made good, the rest is told."""

from __future__ import annotations

from datetime import datetime, timedelta
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone
from pytest_django.fixtures import Settings

from billing.enums import GrantSource, PaymentStatus
from billing.gateways.stripe import payments as gateway
from billing.models import Payment, ReconciliationRun
from billing.services.grants import issue_grant
from billing.services.reconciliation import reconcile_payments
from tenants.models import Organization
from tenants.scope import organization_scope, platform_scope
from tests.billing.payments.buying import begin, deliver, grants_of
from tests.factories.billing import assert_ledger_clean, make_wallet
from tests.factories.payments import make_paid_payment, make_payment, payment_now
from tests.stripe_standin import StandIn

pytestmark = pytest.mark.django_db


@pytest.fixture
def soon() -> datetime:
    """When what is paid now is no longer on its way."""
    return timezone.now() + timedelta(minutes=20)


def kinds(run: ReconciliationRun) -> list[str]:
    return [told["kind"] for told in run.differences]


def test_when_both_sides_agree_nothing_is_told(standin: StandIn, alpha: Organization, soon: datetime) -> None:
    make_wallet(alpha)
    for _ in range(3):
        standin.pay(begin(alpha).checkout_url)
    begin(alpha)
    deliver(standin)
    run = reconcile_payments(now=soon)
    assert run.passed
    assert (run.stripe_payments, run.ledger_payments, run.differences) == (3, 3, [])


def test_a_payment_of_which_nobody_told_is_credited(standin: StandIn, alpha: Organization, soon: datetime) -> None:
    make_wallet(alpha)
    payment = begin(alpha)
    standin.pay(payment.checkout_url)
    run = reconcile_payments(now=soon)
    assert run.passed
    assert kinds(run) == ["credited_late"]
    assert run.repaired == 1
    assert payment_now(payment.id, alpha).status == PaymentStatus.PAID
    assert len(grants_of(alpha)) == 1
    assert reconcile_payments(now=soon).differences == []
    assert_ledger_clean()


def test_what_was_paid_a_moment_ago_is_left_to_the_webhook(standin: StandIn, alpha: Organization) -> None:
    make_wallet(alpha)
    standin.pay(begin(alpha).checkout_url)
    run = reconcile_payments(now=timezone.now())
    assert run.stripe_payments == 0
    assert grants_of(alpha) == []


def test_news_that_were_missed_of_old_payments_are_caught_up(standin: StandIn, alpha: Organization) -> None:
    make_wallet(alpha)
    payment = begin(alpha)
    standin.client().v1.checkout.sessions.expire(payment.checkout_session_id)
    reconcile_payments(now=timezone.now() + timedelta(hours=2))
    assert payment_now(payment.id, alpha).status == PaymentStatus.EXPIRED


def test_what_stripe_never_opened_a_page_for_is_over_after_a_day(standin: StandIn, alpha: Organization) -> None:
    now = timezone.now()
    young = make_payment(alpha, checkout_session_id="", created_at=now - timedelta(hours=23))
    old = make_payment(alpha, checkout_session_id="", created_at=now - timedelta(hours=25))
    reconcile_payments(now=now)
    assert payment_now(young.id, alpha).status == PaymentStatus.OPEN
    assert payment_now(old.id, alpha).status == PaymentStatus.EXPIRED


def test_money_without_tokens_is_told(standin: StandIn, alpha: Organization, soon: datetime) -> None:
    """A payment of a customer of ours, and of none of our payments: nothing that we could credit for it."""
    payment = begin(alpha)
    client = standin.client()
    standin.pay(payment.checkout_url)
    (intent,) = client.v1.payment_intents.list().data
    with organization_scope(alpha.id):
        Payment.objects.all().delete()
    run = reconcile_payments(now=soon)
    assert not run.passed
    assert [(told["kind"], told["stripe"]) for told in run.differences] == [("paid_for_nothing", intent.id)]


def test_tokens_without_money_are_told(standin: StandIn, alpha: Organization, soon: datetime) -> None:
    make_wallet(alpha)
    make_paid_payment(alpha, now=timezone.now())
    issue_grant(
        organization_id=alpha.id,
        tokens_mtok=5_000,
        source=GrantSource.PURCHASE,
        idempotency_key="by hand",
        now=timezone.now(),
    )
    run = reconcile_payments(now=soon)
    assert not run.passed
    assert sorted(kinds(run)) == ["credited_unpaid", "granted_without_payment"]


def test_another_amount_is_told_and_not_repaired(standin: StandIn, alpha: Organization, soon: datetime) -> None:
    make_wallet(alpha)
    payment = begin(alpha)
    standin.pay(payment.checkout_url)
    deliver(standin)
    with organization_scope(alpha.id):
        Payment.objects.filter(id=payment.id).update(tax_minor=7777)
    run = reconcile_payments(now=soon)
    assert kinds(run) == ["amount_differs"]
    assert (run.repaired, len(grants_of(alpha))) == (0, 1)


def test_what_is_not_as_ordered_is_told_and_not_credited(standin: StandIn, alpha: Organization, soon: datetime) -> None:
    make_wallet(alpha)
    payment = begin(alpha)
    standin.pay(payment.checkout_url)
    with organization_scope(alpha.id):
        Payment.objects.filter(id=payment.id).update(amount_minor=1)
    run = reconcile_payments(now=soon)
    assert kinds(run) == ["not_credited"]
    assert payment_now(payment.id, alpha).alarm
    assert grants_of(alpha) == []


def test_many_pages_are_read(
    standin: StandIn, alpha: Organization, soon: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gateway, "AT_ONCE", 2)
    make_wallet(alpha)
    for _ in range(5):
        standin.pay(begin(alpha).checkout_url)
    deliver(standin)
    run = reconcile_payments(now=soon)
    assert (run.stripe_payments, run.passed) == (5, True)


def test_a_window_that_ends_before_them_has_none(standin: StandIn, alpha: Organization) -> None:
    make_wallet(alpha)
    standin.pay(begin(alpha).checkout_url)
    deliver(standin)
    run = reconcile_payments(now=timezone.now() + timedelta(days=40), window=timedelta(days=3))
    assert (run.stripe_payments, run.ledger_payments) == (0, 0)


def test_while_stripe_is_away_it_says_that_it_is_not_finished(standin: StandIn, alpha: Organization) -> None:
    standin.go_away(9)
    run = reconcile_payments(now=timezone.now())
    standin.go_away(0)
    assert not run.passed
    assert "GatewayAway" in run.error
    with platform_scope("look"):
        assert ReconciliationRun.objects.get().error == run.error


class TestTheCommand:
    def run(self, *arguments: str) -> tuple[int, str]:
        out = StringIO()
        try:
            call_command("reconcile_payments", *arguments, stdout=out, no_color=True)
        except SystemExit as exit:
            return int(exit.code or 0), out.getvalue()
        return 0, out.getvalue()

    def test_it_exits_with_0_when_both_agree(self, standin: StandIn, alpha: Organization) -> None:
        assert self.run()[0] == 0

    def test_it_exits_with_1_and_says_what_is_off(self, standin: StandIn, alpha: Organization) -> None:
        make_wallet(alpha)
        payment = make_paid_payment(alpha, now=timezone.now() - timedelta(hours=1))
        status, said = self.run("--days", "2")
        assert status == 1
        assert f"credited_unpaid {payment.id}" in said
        assert "0.00 CNY at Stripe, 10.00 CNY in the ledger" in said

    @pytest.mark.parametrize("arguments", [("--days", "0")])
    def test_bad_arguments_are_said(self, arguments: tuple[str, ...], standin: StandIn) -> None:
        with pytest.raises(CommandError):
            call_command("reconcile_payments", *arguments)

    def test_without_a_key_it_says_so(self, settings: Settings) -> None:
        settings.STRIPE_SECRET_KEY = ""
        with pytest.raises(CommandError, match="STRIPE_SECRET_KEY"):
            call_command("reconcile_payments")


def test_staff_see_the_result(standin: StandIn, alpha: Organization, soon: datetime, client: Any) -> None:
    make_wallet(alpha)
    make_paid_payment(alpha, now=timezone.now())
    run = reconcile_payments(now=soon)
    assert run.differences[0]["organization"] == str(alpha.id)
