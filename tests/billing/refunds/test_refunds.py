"""Unspent Tokens go back for what was paid for them, to the minor unit; spent ones never do."""

from __future__ import annotations

import uuid
from datetime import timedelta

import pytest
from django.utils import timezone
from hypothesis import given
from hypothesis import strategies as st
from pytest_django.fixtures import Settings

from billing import errors
from billing.enums import RefundStatus
from billing.gateways.stripe import client
from billing.models import Account, Debt, Payment, Refund
from billing.refunding import money_of, tokens_of
from billing.services import holds
from billing.services.refund_rounds import finish_refunds
from billing.services.refunds import RefundPreview, preview_refund, request_refund
from tenants.actors import PLATFORM
from tenants.identifiers import new_id
from tenants.models import AuditEvent, Organization
from tenants.scope import organization_scope, platform_scope
from tests.billing.refunds.buying import buy, failures, hear
from tests.factories.billing import assert_ledger_clean, balance_of, make_account, make_hold
from tests.factories.debts import make_debt
from tests.factories.payments import payment_now
from tests.stripe_standin import StandIn

pytestmark = pytest.mark.django_db


def wallet(organization: Organization) -> Account:
    with organization_scope(organization.id):
        return Account.objects.get(kind="org_wallet")


def spend(organization: Organization, mtok: int) -> None:
    now = timezone.now()
    hold = make_hold(wallet(organization), mtok, now=now)
    with platform_scope("test"):
        holds.capture_holds(captures=[holds.Capture(hold.hold_id, mtok, new_id())], now=now)


def available(organization: Organization) -> int:
    return balance_of(wallet(organization), now=timezone.now()).available_mtok


def refund(payment: Payment, mtok: int | None = None, *, key: str = "", by_staff: bool = False) -> Refund:
    return request_refund(
        organization_id=payment.organization_id, payment_id=payment.id, mtok=mtok, reason="Not needed", actor=PLATFORM,
        idempotency_key=key or str(uuid.uuid4()), now=timezone.now(), by_staff=by_staff,
    )  # fmt: skip


def preview(payment: Payment, mtok: int | None = None) -> RefundPreview:
    with organization_scope(payment.organization_id):
        return preview_refund(
            organization_id=payment.organization_id, payment_id=payment.id, mtok=mtok, now=timezone.now()
        )


def test_what_is_unspent_goes_back_for_its_part_of_what_was_paid(standin: StandIn, alpha: Organization) -> None:
    payment = buy(standin, alpha, 1_000)
    assert payment.total_minor > 0
    spend(alpha, 250_500)
    seen = preview(payment)
    assert (seen.tokens_mtok, seen.unspent_mtok) == (749_500, 749_500)
    assert seen.amount_minor == payment.total_minor * 749_500 // 1_000_000
    done = refund(payment)
    assert (done.status, done.amount_minor, done.taken_mtok) == (RefundStatus.SUCCEEDED, seen.amount_minor, 749_500)
    assert available(alpha) == 0
    assert payment_now(payment.id, alpha).refunded_minor == seen.amount_minor
    (sent,) = standin.client().v1.refunds.list({"payment_intent": payment.payment_intent_id}).data
    assert (sent.amount, sent.metadata["refund"]) == (seen.amount_minor, str(done.id))
    with organization_scope(alpha.id):
        assert not Debt.objects.exists()
        actions = set(AuditEvent.objects.filter(target_kind="refund").values_list("action", flat=True))
    assert actions == {"refund.requested", "refund.succeeded"}
    hear(standin.events())
    assert failures() == []
    with organization_scope(alpha.id):
        assert Refund.objects.count() == 1, "its own news made another refund of it"
    assert_ledger_clean()


def test_spent_tokens_are_never_refunded(standin: StandIn, alpha: Organization) -> None:
    payment = buy(standin, alpha, 1_000)
    spend(alpha, 999_999)
    with pytest.raises(errors.InsufficientTokens) as refused:
        refund(payment, 2)
    assert refused.value.available_mtok == 1
    spend(alpha, 1)
    with pytest.raises(errors.InsufficientTokens):
        refund(payment)
    assert standin.client().v1.refunds.list({}).data == []


def test_tokens_that_running_calls_hold_stay(standin: StandIn, alpha: Organization) -> None:
    payment = buy(standin, alpha, 1_000)
    make_hold(wallet(alpha), 400_000, now=timezone.now())
    assert refund(payment).taken_mtok == 600_000
    assert_ledger_clean()


def test_they_go_back_from_wherever_they_lie(standin: StandIn, alpha: Organization) -> None:
    payment = buy(standin, alpha, 1_000)
    pool = make_account(wallet(alpha), 700_000, kind="team_pool", now=timezone.now())
    make_account(pool, 200_000, now=timezone.now())
    assert refund(payment).taken_mtok == 1_000_000
    assert_ledger_clean()


def test_parts_pay_out_what_was_paid_and_no_more(standin: StandIn, alpha: Organization) -> None:
    payment = buy(standin, alpha, 1_000)
    parts = [refund(payment, mtok) for mtok in (333_333, 333_333, 1_001)] + [refund(payment)]
    assert sum(part.amount_minor for part in parts) == payment.total_minor
    assert sum(part.tax_minor for part in parts) == payment.tax_minor
    with pytest.raises(errors.RefundRefused) as refused:
        refund(payment)
    assert refused.value.code == "refunded"
    assert_ledger_clean()


@given(
    total=st.integers(1, 10**7), whole=st.integers(1, 10**10), cuts=st.lists(st.floats(0, 1), min_size=1, max_size=8)
)
def test_no_sequence_of_parts_pays_more_than_the_whole(total: int, whole: int, cuts: list[float]) -> None:
    gone, paid = 0, 0
    for cut in cuts:
        gone = min(whole, gone + int(cut * whole))
        part = money_of(total_minor=total, whole_mtok=whole, gone_mtok=gone) - paid
        assert part >= 0
        paid += part
    assert paid <= total
    assert paid + money_of(total_minor=total, whole_mtok=whole, gone_mtok=whole) - paid == total
    # There and back: money that was paid for Tokens takes no more than those.
    assert tokens_of(total_minor=total, whole_mtok=whole, gone_minor=paid) <= gone


def test_the_worked_example_of_the_docs() -> None:
    whole = {"total_minor": 9_500, "whole_mtok": 10_000_000}
    assert money_of(**whole, gone_mtok=7_499_500) == 7_124
    first = money_of(**whole, gone_mtok=333_333)
    assert (first, money_of(**whole, gone_mtok=7_499_500) - first) == (316, 6_808)


def test_the_same_key_is_the_same_refund_and_another_amount_a_mismatch(standin: StandIn, alpha: Organization) -> None:
    payment = buy(standin, alpha, 1_000)
    first = refund(payment, 100_000, key="once")
    assert refund(payment, 100_000, key="once").id == first.id
    with pytest.raises(errors.IdempotencyMismatch):
        refund(payment, 100_001, key="once")
    assert available(alpha) == 900_000
    assert len(standin.client().v1.refunds.list({}).data) == 1


def test_it_ends_after_the_days_that_are_set_but_not_for_staff(
    standin: StandIn, alpha: Organization, settings: Settings
) -> None:
    payment = buy(standin, alpha, 1_000)
    with organization_scope(alpha.id):
        Payment.objects.filter(id=payment.id).update(paid_at=timezone.now() - timedelta(days=31))
    with pytest.raises(errors.RefundRefused) as refused:
        refund(payment)
    assert refused.value.code == "too_late"
    assert refund(payment, 1_000, by_staff=True).status == RefundStatus.SUCCEEDED
    settings.REFUND_DAYS = 0
    assert refund(payment, 1_000).status == RefundStatus.SUCCEEDED


def test_who_owes_tokens_gets_no_money_back(standin: StandIn, alpha: Organization) -> None:
    payment = buy(standin, alpha, 1_000)
    make_debt(alpha, 500, now=timezone.now())
    with pytest.raises(errors.DebtOutstanding):
        refund(payment)
    assert standin.client().v1.refunds.list({}).data == []


@pytest.mark.parametrize("kind", ["plan", "boost"])
def test_plans_and_boosts_are_refunded_by_staff_alone(standin: StandIn, alpha: Organization, kind: str) -> None:
    payment = buy(standin, alpha, 1_000)
    with organization_scope(alpha.id):
        Payment.objects.filter(id=payment.id).update(kind=kind)
    with pytest.raises(errors.RefundRefused) as refused:
        refund(payment)
    assert refused.value.code == "kind"
    assert refund(payment, by_staff=True).status == RefundStatus.SUCCEEDED


def test_tokens_worth_less_than_the_smallest_coin_are_not_taken(standin: StandIn, alpha: Organization) -> None:
    payment = buy(standin, alpha, 1_000)
    with pytest.raises(errors.RefundRefused) as refused:
        refund(payment, 1)
    assert refused.value.code == "too_little"
    assert available(alpha) == 1_000_000


def test_when_stripe_is_away_the_refund_is_sent_later_and_once(standin: StandIn, alpha: Organization) -> None:
    payment = buy(standin, alpha, 1_000)
    standin.go_away(10)
    waiting = refund(payment, 100_000)
    assert waiting.status == RefundStatus.RESERVED
    assert available(alpha) == 900_000
    standin.go_away(0)
    soon = timezone.now() + timedelta(minutes=5)
    assert finish_refunds(clock=lambda: soon) == 1
    with organization_scope(alpha.id):
        assert Refund.objects.get().status == RefundStatus.SUCCEEDED
    assert len(standin.client().v1.refunds.list({}).data) == 1
    assert_ledger_clean()


def test_an_answer_that_was_lost_long_ago_is_found_and_not_sent_again(
    standin: StandIn, alpha: Organization, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stripe forgets idempotency keys after a day."""
    payment = buy(standin, alpha, 1_000)
    standin.go_away(1, after=True)
    monkeypatch.setattr("billing.gateways.stripe.client.RETRIES", 0)
    client.forget_clients()
    waiting = refund(payment, 100_000)
    client.forget_clients()
    assert waiting.status == RefundStatus.RESERVED
    monkeypatch.setattr("billing.gateways.stripe.refunds.create_refund", None)
    soon = timezone.now() + timedelta(days=2)
    assert finish_refunds(clock=lambda: soon) == 1
    with organization_scope(alpha.id):
        assert Refund.objects.get().status == RefundStatus.SUCCEEDED


def test_what_stripe_refuses_gives_the_tokens_back(standin: StandIn, alpha: Organization) -> None:
    payment = buy(standin, alpha, 1_000)
    standin.client().v1.refunds.create({"payment_intent": payment.payment_intent_id})
    done = refund(payment, 100_000)
    assert (done.status, done.taken_mtok) == (RefundStatus.FAILED, 0)
    assert available(alpha) == 1_000_000
    assert payment_now(payment.id, alpha).refunded_minor == 0
    assert_ledger_clean()


@pytest.mark.parametrize("times", [1, 3])
def test_a_refund_that_fails_later_gives_the_tokens_back_exactly_once(
    standin: StandIn, alpha: Organization, times: int
) -> None:
    payment = buy(standin, alpha, 1_000)
    make_account(wallet(alpha), 300_000, now=timezone.now())
    standin.control("refunds/next", status="pending")
    done = refund(payment)
    assert (done.status, available(alpha)) == (RefundStatus.PENDING, 0)
    standin.control(f"refunds/{done.stripe_id}/finish", succeeds=False)
    kinds = ("refund.created", "charge.refunded", "refund.updated", "charge.refund.updated", "refund.failed")
    news = standin.events(*kinds)
    for _ in range(times):
        # Other ids, as if they were other events: only what they lead to can be the same.
        hear({**event, "id": f"evt_{uuid.uuid4().hex}"} for event in reversed(news))
    assert failures() == []
    assert available(alpha) == 1_000_000, "to the wallet, from wherever they were"
    with organization_scope(alpha.id):
        assert Refund.objects.get().status == RefundStatus.FAILED
    assert payment_now(payment.id, alpha).refunded_minor == 0
    assert refund(payment).status == RefundStatus.SUCCEEDED
    assert_ledger_clean()


def test_a_refund_on_its_way_is_asked_about_when_no_webhook_comes(standin: StandIn, alpha: Organization) -> None:
    payment = buy(standin, alpha, 1_000)
    standin.control("refunds/next", status="pending")
    done = refund(payment)
    standin.control(f"refunds/{done.stripe_id}/finish", succeeds=True)
    later = timezone.now() + timedelta(hours=7)
    assert finish_refunds(clock=lambda: later) == 1
    with organization_scope(alpha.id):
        found = Refund.objects.get()
    assert (found.status, found.next_try_at) == (RefundStatus.SUCCEEDED, None)


def test_a_refund_made_at_stripe_takes_what_is_unspent_and_the_rest_is_owed(
    standin: StandIn, alpha: Organization
) -> None:
    payment = buy(standin, alpha, 1_000)
    spend(alpha, 600_000)
    standin.client().v1.refunds.create({"payment_intent": payment.payment_intent_id})
    for _ in range(2):
        news = standin.events("charge.refunded", "refund.created")
        hear({**event, "id": f"evt_{uuid.uuid4().hex}"} for event in news)
    assert failures() == []
    with organization_scope(alpha.id):
        found = Refund.objects.get()
        debt = Debt.objects.get()
    assert (found.origin, found.tokens_mtok, found.taken_mtok) == ("stripe", 1_000_000, 400_000)
    assert (debt.owed_mtok, debt.reference) == (600_000, f"refund:{found.id}")
    assert payment_now(payment.id, alpha).refunded_minor == payment.total_minor
    assert_ledger_clean()


def test_a_part_refunded_at_stripe_takes_that_part(standin: StandIn, alpha: Organization) -> None:
    payment = buy(standin, alpha, 1_000)
    spend(alpha, 800_000)
    half = payment.total_minor // 2
    standin.client().v1.refunds.create({"payment_intent": payment.payment_intent_id, "amount": half})
    hear(standin.events("refund.created"))
    with organization_scope(alpha.id):
        found, debt = Refund.objects.get(), Debt.objects.get()
    assert found.tokens_mtok == 1_000_000 * half // payment.total_minor
    assert (found.taken_mtok, debt.owed_mtok) == (200_000, found.tokens_mtok - 200_000)
    assert_ledger_clean()


def test_a_refund_made_at_stripe_that_fails_leaves_nothing_behind(standin: StandIn, alpha: Organization) -> None:
    payment = buy(standin, alpha, 1_000)
    spend(alpha, 600_000)
    made = standin.client().v1.refunds.create({"payment_intent": payment.payment_intent_id})
    hear(standin.events("refund.created"))
    buy(standin, alpha, 1_000)
    assert available(alpha) == 400_000
    standin.control(f"refunds/{made.id}/finish", succeeds=False)
    hear(standin.events("refund.failed"))
    assert failures() == []
    assert available(alpha) == 1_400_000
    with organization_scope(alpha.id):
        assert Debt.objects.get().voided_at is not None
    make_hold(wallet(alpha), 1_400_000, now=timezone.now())
    assert_ledger_clean()


def test_news_of_a_refund_come_before_those_of_its_payment(standin: StandIn, alpha: Organization) -> None:
    payment = buy(standin, alpha, 1_000)
    with organization_scope(alpha.id):
        # As if neither the page nor the webhook had told of the payment yet.
        Payment.objects.filter(id=payment.id).update(payment_intent_id="", charge_id="")
    standin.client().v1.refunds.create({"payment_intent": payment.payment_intent_id})
    hear(standin.events("charge.refunded"))
    assert failures() == []
    assert available(alpha) == 0


def test_refunds_of_strangers_on_the_same_account_are_nobodys_business(standin: StandIn, alpha: Organization) -> None:
    client = standin.client()
    intent = client.v1.payment_intents.create(
        {"amount": 500, "currency": "cny", "payment_method": "pm_card_visa", "confirm": True,
         "automatic_payment_methods": {"enabled": True, "allow_redirects": "never"}}
    )  # fmt: skip
    client.v1.refunds.create({"payment_intent": intent.id})
    hear(standin.events("charge.refunded", "refund.created"))
    assert failures() == []
    with organization_scope(alpha.id):
        assert not Refund.objects.exists()
