"""Automatic top-ups: due the moment spending makes them, charged once, and stopped rather than run away."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.utils import timezone

from billing.enums import AutoTopUpStatus, PaymentKind, PaymentStatus, StopReason
from billing.errors import AutoTopUpInvalid, TopUpInvalid
from billing.models import Account
from billing.queries.auto_top_up import spent_this_month
from billing.services.auto_top_up_settings import resume_auto_top_up
from billing.services.auto_top_ups import is_auto_top_up_due, next_month
from billing.services.fulfilment import fulfil
from billing.services.grants import refund_unspent
from billing.services.packages import retire_package, set_package
from tenants.actors import PLATFORM
from tenants.models import Organization, OutboxMail
from tenants.scope import organization_scope
from tests.billing.payments.automatic import available, deliver_all, mails, run
from tests.factories.alerts import spend
from tests.factories.auto_top_ups import THRESHOLD, TOKENS, give_card, payments_of, row_of, turn_on
from tests.factories.billing import assert_ledger_clean, make_account, make_wallet
from tests.stripe_standin import CHARGES_FAIL, SECURE_ALWAYS, StandIn

pytestmark = pytest.mark.django_db(transaction=True)
S = AutoTopUpStatus


@pytest.fixture
def wallet(alpha: Organization) -> Account:
    return make_wallet(alpha, 150_000, now=timezone.now())


def test_spending_below_the_threshold_buys_at_once(alpha: Organization, wallet: Account, standin: StandIn) -> None:
    give_card(alpha, standin)
    turn_on(alpha)
    spend(wallet, 50_000)
    assert run() == 0, "100 left is not below 100"
    spend(wallet, 1)
    assert is_auto_top_up_due(timezone.now()), "in the transaction that spent, not when somebody looks"
    assert run() == 1
    (payment,) = payments_of(alpha)
    assert (payment.kind, payment.status, payment.tokens_mtok) == (PaymentKind.AUTO_TOPUP, PaymentStatus.PAID, TOKENS)
    assert payment.grant_id
    assert payment.method == "visa 4242"
    assert available(alpha) == 99_999 + TOKENS
    assert row_of(alpha).status == S.ON
    deliver_all(standin)
    assert run() == 0
    assert len(payments_of(alpha)) == 1
    assert available(alpha) == 99_999 + TOKENS
    assert_ledger_clean()


def test_it_buys_again_when_that_is_spent(alpha: Organization, wallet: Account, standin: StandIn) -> None:
    give_card(alpha, standin)
    turn_on(alpha, most_per_hour=5)
    for round_number in (1, 2, 3):
        spend(wallet, available(alpha) - 10_000)
        assert run() == 1
        assert len(payments_of(alpha)) == round_number
    assert available(alpha) == 10_000 + TOKENS


def test_what_is_not_spending_buys_nothing(alpha: Organization, wallet: Account, standin: StandIn) -> None:
    """Tokens that are shared out, or taken back by a refund, leave the wallet too."""
    give_card(alpha, standin)
    turn_on(alpha)
    make_account(wallet, 60_000)
    assert run() == 0
    refund_unspent(
        organization_id=alpha.id,
        reason="For a test",
        idempotency_key="r",
        now=timezone.now(),
        mtok=20_000,
        actor=PLATFORM,
    )
    assert run() == 0
    assert payments_of(alpha) == []
    spend(wallet, 1)
    assert run() == 1, "the next spending finds it below"


def test_turned_on_below_the_threshold_it_buys_at_once_and_off_never(
    alpha: Organization,
    wallet: Account,
    standin: StandIn,
) -> None:
    give_card(alpha, standin)
    turn_on(alpha, enabled=False)
    spend(wallet, 100_000)
    assert run() == 0
    turn_on(alpha)
    assert run() == 1
    turn_on(alpha, enabled=False)
    spend(wallet, available(alpha))
    assert run() == 0


def test_without_a_card_it_cannot_be_turned_on(alpha: Organization, wallet: Account) -> None:
    with pytest.raises(AutoTopUpInvalid) as refusal:
        turn_on(alpha)
    assert refusal.value.field == "card"


@pytest.mark.parametrize(
    ("field", "terms"),
    [
        ("threshold", {"threshold_mtok": 0}),
        ("ceiling", {"ceiling_minor": 1}),
        ("most_per_hour", {"most_per_hour": 0}),
        ("most_per_hour", {"most_per_hour": 11}),
        ("most_per_day", {"most_per_hour": 3, "most_per_day": 2}),
        ("most_per_day", {"most_per_day": 51}),
        ("package", {"tokens_mtok": None}),
    ],
)
def test_terms_that_do_not_fit_are_refused(field: str, terms: dict[str, Any], alpha: Organization) -> None:
    with pytest.raises(AutoTopUpInvalid) as refusal:
        turn_on(alpha, **terms)
    assert refusal.value.field == field


def test_what_is_not_sold_is_refused(alpha: Organization) -> None:
    with pytest.raises(TopUpInvalid):
        turn_on(alpha, tokens_mtok=1_000)


# --- What stops it ---------------------------------------------------------------------------------------------------
def test_lago_6103_more_payments_than_allowed_in_an_hour_stop_it(
    alpha: Organization,
    wallet: Account,
    standin: StandIn,
) -> None:
    """lago-api PR#6103: a runaway auto top-up "ran for weeks before a customer told us". Ours stops, and says so."""
    give_card(alpha, standin)
    turn_on(alpha, most_per_hour=2, most_per_day=2)
    for _ in range(6):
        spend(wallet, max(1, available(alpha) - THRESHOLD // 2))
        run()
    assert len(payments_of(alpha)) == 2
    row = row_of(alpha)
    assert (row.status, row.stop_reason, row.due_at) == (S.STOPPED, StopReason.VELOCITY, None)
    assert mails(alpha) == ["stopped_velocity"]
    later = timezone.now() + timedelta(days=3)
    assert run(later) == 0, "it does not go on by itself, however long nobody looks"
    # After all that was bought, whose clock runs a second ahead.
    resumed = timezone.now() + timedelta(seconds=2)
    resume_auto_top_up(organization_id=alpha.id, actor=PLATFORM, now=resumed)
    assert row_of(alpha).status == S.ON
    assert run(resumed + timedelta(seconds=1)) == 1
    assert len(payments_of(alpha)) == 3


def test_the_control_without_the_bound_it_would_run_on(
    alpha: Organization,
    wallet: Account,
    standin: StandIn,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("billing.services.auto_top_ups.too_many", lambda row, now: False)
    give_card(alpha, standin)
    turn_on(alpha, most_per_hour=2, most_per_day=2)
    for _ in range(5):
        spend(wallet, available(alpha) - 1)
        run()
    assert len(payments_of(alpha)) == 5


def test_a_month_costs_no_more_than_its_ceiling(alpha: Organization, wallet: Account, standin: StandIn) -> None:
    give_card(alpha, standin)
    row = turn_on(alpha, most_per_hour=10, most_per_day=50, ceiling_minor=100_000)
    price = 0
    for _ in range(3):
        spend(wallet, available(alpha) - 1)
        run()
        price = payments_of(alpha)[0].amount_minor
        if len(payments_of(alpha)) == 1:
            turn_on(alpha, most_per_hour=10, most_per_day=50, ceiling_minor=2 * price)
    assert len(payments_of(alpha)) == 2
    row = row_of(alpha)
    now = timezone.now()
    assert (row.status, row.due_at) == (S.CEILING, next_month(now))
    assert mails(alpha) == ["ceiling"]
    with organization_scope(alpha.id):
        assert spent_this_month("CNY", now) == 2 * price
    # A higher ceiling lets it go on at once, and the next month by itself.
    turn_on(alpha, most_per_hour=10, most_per_day=50, ceiling_minor=3 * price)
    assert run() == 1
    spend(wallet, available(alpha) - 1)
    run()
    assert row_of(alpha).status == S.CEILING
    assert run(next_month(now)) == 1
    assert row_of(alpha).status == S.ON
    assert len(payments_of(alpha)) == 4


def test_months_are_calendar_months() -> None:
    assert next_month(datetime(2026, 1, 31, 23, 59, tzinfo=UTC)) == datetime(2026, 2, 1, tzinfo=UTC)
    assert next_month(datetime(2026, 12, 1, tzinfo=UTC)) == datetime(2027, 1, 1, tzinfo=UTC)


def test_a_declined_card_is_tried_after_one_six_and_24_hours_and_then_no_more(
    alpha: Organization,
    wallet: Account,
    standin: StandIn,
) -> None:
    give_card(alpha, standin, CHARGES_FAIL)
    turn_on(alpha)
    spend(wallet, 100_000)
    now = timezone.now() + timedelta(seconds=1)
    for tries, hours in ((1, 1), (2, 6), (3, 24)):
        assert run(now) == 1
        row = row_of(alpha)
        assert (row.status, row.failures) == (S.DECLINED, tries)
        assert row.due_at == now + timedelta(hours=hours)
        deliver_all(standin)
        assert row_of(alpha).failures == tries, "what the webhook tells is the same decline"
        assert run(row.due_at - timedelta(seconds=1)) == 0
        now = row.due_at
    assert run(now) == 1
    row = row_of(alpha)
    assert (row.status, row.stop_reason, row.due_at) == (S.STOPPED, StopReason.DECLINED, None)
    assert {payment.status for payment in payments_of(alpha)} == {PaymentStatus.FAILED}
    assert mails(alpha) == ["declined", "stopped_declined"]
    assert available(alpha) == 50_000


def test_a_better_card_mends_a_decline(alpha: Organization, wallet: Account, standin: StandIn) -> None:
    give_card(alpha, standin, CHARGES_FAIL)
    turn_on(alpha)
    spend(wallet, 100_000)
    run()
    give_card(alpha, standin)
    resume_auto_top_up(organization_id=alpha.id, actor=PLATFORM, now=timezone.now())
    assert run() == 1
    assert (row_of(alpha).status, row_of(alpha).failures) == (S.ON, 0)
    assert available(alpha) == 50_000 + TOKENS


def test_what_is_no_longer_sold_stops_it(alpha: Organization, wallet: Account, standin: StandIn) -> None:
    give_card(alpha, standin)
    now = timezone.now()
    package = set_package(name="Small", currency="CNY", tokens_mtok=TOKENS, price_minor=900, now=now)
    turn_on(alpha, package_id=package.id)
    retire_package(name="Small", currency="CNY", now=now)
    spend(wallet, 100_000)
    run()
    assert row_of(alpha).stop_reason == StopReason.NO_OFFER
    assert payments_of(alpha) == []


# --- The bank wants its buyer ----------------------------------------------------------------------------------------
def test_a_bank_that_asks_is_answered_on_the_page_that_the_mail_leads_to(
    alpha: Organization,
    wallet: Account,
    standin: StandIn,
) -> None:
    give_card(alpha, standin, SECURE_ALWAYS)
    turn_on(alpha)
    spend(wallet, 100_000)
    assert run() == 1
    (payment,) = payments_of(alpha)
    assert payment.status == PaymentStatus.OPEN
    assert payment.checkout_url
    assert row_of(alpha).status == S.CONFIRM
    with organization_scope(alpha.id):
        mail = OutboxMail.objects.get(kind="auto_top_up")
    assert mail.context["why"] == "confirm"
    assert mail.context["button_url"].endswith(f"/o/alpha/billing/payments/{payment.id}/")
    deliver_all(standin)
    assert run(timezone.now() + timedelta(hours=2)) == 0
    assert (row_of(alpha).status, len(payments_of(alpha))) == (S.CONFIRM, 1)
    intents = standin.client().v1.payment_intents.list({"limit": 10}).data
    assert [intent.status for intent in intents] == ["canceled"], "what was tried can no longer be paid as well"

    assert standin.pay(payment.checkout_url, SECURE_ALWAYS, secure=True).went_on
    paid = fulfil(checkout_session_id=payment.checkout_session_id, now=timezone.now())
    assert (paid.status, paid.alarm) == (PaymentStatus.PAID, "")
    deliver_all(standin)
    assert row_of(alpha).status == S.ON
    assert available(alpha) == 50_000 + TOKENS
    assert_ledger_clean()


def test_a_confirmation_that_nobody_gives_stops_it(alpha: Organization, wallet: Account, standin: StandIn) -> None:
    give_card(alpha, standin, SECURE_ALWAYS)
    turn_on(alpha)
    spend(wallet, 100_000)
    run()
    (payment,) = payments_of(alpha)
    standin.client().v1.checkout.sessions.expire(payment.checkout_session_id)
    fulfil(checkout_session_id=payment.checkout_session_id, now=timezone.now())
    assert (row_of(alpha).status, row_of(alpha).stop_reason) == (S.STOPPED, StopReason.UNCONFIRMED)
    assert mails(alpha) == ["confirm", "stopped_unconfirmed"]
    assert available(alpha) == 50_000
