"""What a code put on top of a purchase goes back with it, whoever sends the money back and however much was spent."""

from __future__ import annotations

import uuid
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from billing import errors
from billing.enums import CodeBenefit, GrantSource, RefundStatus
from billing.models import Account, Debt, Dispute, Grant, Payment, Refund
from billing.queries.top_ups import offer_of_amount
from billing.services import holds
from billing.services.expiry import expire_grants
from billing.services.fulfilment import fulfil
from billing.services.parts import Part, part_of_tokens
from billing.services.refund_rounds import finish_refunds
from billing.services.topups import begin_top_up
from tenants.identifiers import new_id
from tenants.models import Organization
from tenants.scope import organization_scope, platform_scope
from tests.billing.refunds.buying import BUYER, charge_of, failures, hear
from tests.billing.refunds.test_refunds import available, preview, refund, spend, wallet
from tests.factories.billing import assert_ledger_clean, make_hold, make_wallet
from tests.factories.codes import make_code
from tests.factories.payments import payment_now
from tests.stripe_standin import StandIn

pytestmark = pytest.mark.django_db


def buy_with(
    standin: StandIn, organization: Organization, benefit: str = CodeBenefit.BONUS_PERCENT, **terms: Any
) -> Payment:
    """Buy 1,000 Tokens with a code of these terms, or one of 50 percent more."""
    make_wallet(organization)
    now = timezone.now()
    with organization_scope(organization.id):
        offer = offer_of_amount(tokens_mtok=1_000_000, currency="CNY")
    payment = begin_top_up(
        organization_id=organization.id, offer=offer, buyer=BUYER, now=now,
        code=make_code(benefit=benefit, **(terms or {"percent": 50})),
    )  # fmt: skip
    assert standin.pay(payment.checkout_url).went_on
    return fulfil(checkout_session_id=payment.checkout_session_id, now=timezone.now())


def bonus_first(organization: Organization) -> None:
    """Let the bonus burn before the purchase."""
    with organization_scope(organization.id):
        grant = Grant.objects.get(source=GrantSource.PROMOTION)
        grant.lots.update(priority=grant.priority - 1)


def news_of(standin: StandIn, prefix: str) -> list[dict[str, Any]]:
    """Return Stripe's news of these types under ids of their own: only what they lead to can be the same."""
    return [
        {**event, "id": f"evt_{uuid.uuid4().hex}"} for event in standin.events() if event["type"].startswith(prefix)
    ]


def dispute(standin: StandIn, payment: Payment, *, won: bool | None = None, **options: Any) -> str:
    """Let a payment be disputed and decided (None: not yet), and hear of it twice."""
    made = str(standin.control(f"charges/{charge_of(standin, payment)}/dispute", **options)["id"])
    if won is not None:
        standin.control(f"disputes/{made}/decide", won=won)
    for _ in range(2):
        hear(news_of(standin, "charge.dispute."))
    assert failures() == []
    return made


def owed(organization: Organization) -> int:
    with organization_scope(organization.id):
        return sum(debt.left_mtok for debt in Debt.objects.all())


class TestRefundsThatAreAskedFor:
    def test_all_goes_back_with_the_whole_bonus(self, standin: StandIn, alpha: Organization) -> None:
        payment = buy_with(standin, alpha)
        assert available(alpha) == 1_500_000
        done = refund(payment)
        assert (done.taken_mtok, done.bonus_taken_mtok, done.amount_minor) == (
            1_000_000,
            500_000,
            payment.total_minor,
        )
        assert available(alpha) == 0
        assert_ledger_clean()

    def test_who_spends_the_bonus_gets_no_whole_purchase_back(self, standin: StandIn, alpha: Organization) -> None:
        """A third was spent, so two thirds of the money go back, and everything that is left goes."""
        payment = buy_with(standin, alpha)
        bonus_first(alpha)
        spend(alpha, 500_000)
        seen = preview(payment)
        assert (seen.tokens_mtok, seen.bonus_mtok, seen.unspent_mtok) == (666_667, 333_333, 666_667)
        with pytest.raises(errors.InsufficientTokens) as refused:
            refund(payment, 666_668)
        assert refused.value.available_mtok == 666_667
        done = refund(payment)
        assert done.amount_minor == payment.total_minor * 666_667 // 1_000_000
        assert available(alpha) == 0
        with pytest.raises(errors.InsufficientTokens):
            refund(payment)
        assert_ledger_clean()

    def test_in_parts_it_is_as_much_as_at_once(self, standin: StandIn, alpha: Organization) -> None:
        payment = buy_with(standin, alpha)
        bonus_first(alpha)
        spend(alpha, 500_000)
        parts = [refund(payment, mtok) for mtok in (100_001, 333_333, 1_017)] + [refund(payment)]
        assert sum(part.tokens_mtok for part in parts) == 666_667
        assert sum(part.bonus_mtok for part in parts) == 333_333
        assert sum(part.amount_minor for part in parts) == payment.total_minor * 666_667 // 1_000_000
        assert available(alpha) == 0
        assert_ledger_clean()

    def test_a_bonus_that_expired_costs_nothing(self, standin: StandIn, alpha: Organization) -> None:
        payment = buy_with(standin, alpha)
        with organization_scope(alpha.id):
            Grant.objects.get(source=GrantSource.PROMOTION).lots.update(expires_at=timezone.now())
        assert preview(payment).bonus_mtok == 0, "overdue"
        with platform_scope("test"):
            expire_grants(now=timezone.now())
        done = refund(payment)
        assert (done.taken_mtok, done.bonus_mtok, done.amount_minor) == (1_000_000, 0, payment.total_minor)
        assert_ledger_clean()

    def test_what_running_calls_hold_of_the_bonus_counts_as_spent(self, standin: StandIn, alpha: Organization) -> None:
        payment = buy_with(standin, alpha)
        bonus_first(alpha)
        hold = make_hold(wallet(alpha), 500_000, now=timezone.now())
        assert refund(payment).tokens_mtok == 666_667
        with platform_scope("test"):
            holds.release_holds(hold_ids=[hold.hold_id], now=timezone.now())
        assert available(alpha) == 500_000, "a third of all, for the third of the money that stays"
        with pytest.raises(errors.InsufficientTokens):
            refund(payment)
        assert_ledger_clean()

    def test_a_refund_that_fails_gives_all_of_it_back(self, standin: StandIn, alpha: Organization) -> None:
        payment = buy_with(standin, alpha)
        bonus_first(alpha)
        spend(alpha, 200_000)
        standin.control("refunds/next", status="pending")
        done = refund(payment)
        assert (available(alpha), done.tokens_mtok) == (0, 866_667)
        standin.control(f"refunds/{done.stripe_id}/finish", succeeds=False)
        for _ in range(2):
            hear(news_of(standin, "refund.failed"))
        assert available(alpha) == 1_300_000
        with organization_scope(alpha.id):
            found = Refund.objects.get()
        assert (found.status, found.taken_mtok, found.bonus_taken_mtok) == (RefundStatus.FAILED, 0, 0)
        assert refund(payment).amount_minor == done.amount_minor
        assert_ledger_clean()

    def test_of_a_discount_goes_back_what_was_paid(self, standin: StandIn, alpha: Organization) -> None:
        payment = buy_with(standin, alpha, CodeBenefit.DISCOUNT_PERCENT, percent=25)
        assert payment.discount_minor * 4 == payment.amount_minor
        spend(alpha, 400_000)
        done = refund(payment)
        assert done.amount_minor == payment.total_minor * 600_000 // 1_000_000
        assert done.amount_minor < payment.amount_minor * 6 // 10 + payment.tax_minor
        assert available(alpha) == 0
        assert_ledger_clean()


class TestRefundsThatAreMadeAtStripe:
    def send(self, standin: StandIn, payment: Payment, **options: Any) -> None:
        standin.client().v1.refunds.create({"payment_intent": payment.payment_intent_id, **options})
        for _ in range(2):
            hear(news_of(standin, "refund."))
        assert failures() == []

    def test_the_bonus_goes_too(self, standin: StandIn, alpha: Organization) -> None:
        payment = buy_with(standin, alpha)
        self.send(standin, payment)
        assert (available(alpha), owed(alpha)) == (0, 0)
        with organization_scope(alpha.id):
            assert Account.objects.get(kind="refunded").posted_mtok == 1_500_000
        assert_ledger_clean()

    def test_what_was_spent_of_both_is_owed(self, standin: StandIn, alpha: Organization) -> None:
        payment = buy_with(standin, alpha)
        bonus_first(alpha)
        spend(alpha, 700_000)
        self.send(standin, payment)
        assert (available(alpha), owed(alpha)) == (0, 700_000)
        with organization_scope(alpha.id):
            refunded = Refund.objects.get()
            assert {debt.reference: debt.owed_mtok for debt in Debt.objects.all()} == {
                refunded.reference: 200_000,
                f"{refunded.reference}/bonus": 500_000,
            }
        assert_ledger_clean()

    def test_of_a_part_the_purchase_stands_in_for_a_bonus_that_was_spent(
        self, standin: StandIn, alpha: Organization
    ) -> None:
        payment = buy_with(standin, alpha)
        bonus_first(alpha)
        spend(alpha, 500_000)
        self.send(standin, payment, amount=payment.total_minor // 2)
        half = 1_000_000 * (payment.total_minor // 2) // payment.total_minor
        assert (available(alpha), owed(alpha)) == (1_000_000 - half - half // 2, 0)
        assert_ledger_clean()

    def test_one_that_fails_undoes_both_debts(self, standin: StandIn, alpha: Organization) -> None:
        payment = buy_with(standin, alpha)
        bonus_first(alpha)
        spend(alpha, 700_000)
        self.send(standin, payment)
        with organization_scope(alpha.id):
            made = Refund.objects.get()
        standin.control(f"refunds/{made.stripe_id}/finish", succeeds=False)
        hear(news_of(standin, "refund.failed"))
        assert failures() == []
        assert (available(alpha), owed(alpha)) == (800_000, 0)
        make_hold(wallet(alpha), 800_000, now=timezone.now())
        assert_ledger_clean()


class TestDisputes:
    @pytest.mark.parametrize("won", [True, False])
    def test_the_bonus_is_frozen_and_goes_where_the_purchase_goes(
        self, standin: StandIn, alpha: Organization, won: bool
    ) -> None:
        payment = buy_with(standin, alpha)
        bonus_first(alpha)
        spend(alpha, 100_000)
        made = dispute(standin, payment)
        assert available(alpha) == 0
        standin.control(f"disputes/{made}/decide", won=won)
        hear(news_of(standin, "charge.dispute."))
        assert (available(alpha), owed(alpha)) == ((1_400_000, 0) if won else (0, 100_000))
        assert_ledger_clean()

    def test_a_spent_bonus_is_owed_when_it_is_lost(self, standin: StandIn, alpha: Organization) -> None:
        payment = buy_with(standin, alpha)
        bonus_first(alpha)
        spend(alpha, 500_000)
        dispute(standin, payment, won=False)
        assert (available(alpha), owed(alpha)) == (0, 500_000)
        with organization_scope(alpha.id):
            found = Dispute.objects.get()
        assert (found.taken_mtok, found.bonus_mtok, found.bonus_taken_mtok) == (1_000_000, 500_000, 0)
        assert_ledger_clean()

    def test_after_a_part_was_refunded_it_is_about_the_rest(self, standin: StandIn, alpha: Organization) -> None:
        payment = buy_with(standin, alpha)
        part = refund(payment, 400_000)
        assert (part.taken_mtok, part.bonus_taken_mtok) == (400_000, 200_000)
        spend(alpha, 90_000)
        dispute(standin, payment, won=False, amount=payment.total_minor - part.amount_minor)
        with organization_scope(alpha.id):
            found = Dispute.objects.get()
            assert (found.tokens_mtok, found.bonus_mtok) == (600_000, 300_000)
            assert Account.objects.get(kind="refunded").posted_mtok == 1_500_000 - 90_000
        assert (available(alpha), owed(alpha)) == (0, 90_000)
        assert_ledger_clean()

    def test_what_is_held_of_the_bonus_is_waited_for(self, standin: StandIn, alpha: Organization) -> None:
        payment = buy_with(standin, alpha)
        bonus_first(alpha)
        hold = make_hold(wallet(alpha), 100_000, now=timezone.now())
        dispute(standin, payment, won=False)
        with organization_scope(alpha.id):
            assert Dispute.objects.get().settled_at is None
        with platform_scope("test"):
            holds.capture_holds(captures=[holds.Capture(hold.hold_id, 60_000, new_id())], now=timezone.now())
        later = timezone.now() + timedelta(minutes=1)
        assert finish_refunds(clock=lambda: later) == 1
        assert (available(alpha), owed(alpha)) == (0, 60_000)
        assert_ledger_clean()


class TestRefundAndDisputeOfTheSamePayment:
    @pytest.mark.parametrize("when", ["before it is lost", "after it was lost"])
    def test_a_refund_that_fails_leaves_the_dispute_all_of_it(
        self, standin: StandIn, alpha: Organization, when: str
    ) -> None:
        """Its Tokens come back frozen, and are lost with the dispute: else they would be there for nothing."""
        payment = buy_with(standin, alpha)
        spend(alpha, 100_000)
        standin.control("refunds/next", status="pending")
        part = refund(payment, 400_000)
        assert part.status == RefundStatus.PENDING
        lost = False if when == "after it was lost" else None
        made = dispute(standin, payment, won=lost, amount=payment.total_minor)
        standin.control(f"refunds/{part.stripe_id}/finish", succeeds=False)
        hear(news_of(standin, "refund.failed"))
        assert failures() == []
        if when == "before it is lost":
            assert available(alpha) == 0, "what came back is frozen with the rest"
            standin.control(f"disputes/{made}/decide", won=False)
            hear(news_of(standin, "charge.dispute."))
        later = timezone.now() + timedelta(minutes=1)
        finish_refunds(clock=lambda: later)
        assert (available(alpha), owed(alpha)) == (0, 100_000)
        with organization_scope(alpha.id):
            found = Dispute.objects.get()
        assert (found.tokens_mtok, found.bonus_mtok) == (1_000_000, 500_000)
        assert payment_now(payment.id, alpha).refunded_minor == 0
        assert_ledger_clean()

    def test_a_dispute_between_asking_and_sending_leaves_nothing_to_both(
        self, standin: StandIn, alpha: Organization
    ) -> None:
        payment = buy_with(standin, alpha)
        standin.go_away(10)
        waiting = refund(payment, 400_000)
        standin.go_away(0)
        assert waiting.status == RefundStatus.RESERVED
        made = dispute(standin, payment)
        later = timezone.now() + timedelta(minutes=5)
        finish_refunds(clock=lambda: later)
        with organization_scope(alpha.id):
            assert Refund.objects.get().status == RefundStatus.FAILED, "Stripe refunds nothing that is disputed"
        assert available(alpha) == 0
        standin.control(f"disputes/{made}/decide", won=True)
        hear(news_of(standin, "charge.dispute."))
        assert (available(alpha), owed(alpha)) == (1_500_000, 0)
        assert_ledger_clean()

    def test_one_made_at_stripe_while_ours_waits_takes_what_ours_gives_back(
        self, standin: StandIn, alpha: Organization
    ) -> None:
        payment = buy_with(standin, alpha)
        standin.go_away(10)
        assert refund(payment).status == RefundStatus.RESERVED
        standin.go_away(0)
        standin.client().v1.refunds.create({"payment_intent": payment.payment_intent_id})
        hear(news_of(standin, "refund.created"))
        for minutes in (5, 10):
            later = timezone.now() + timedelta(minutes=minutes)
            finish_refunds(clock=lambda at=later: at)  # type: ignore[misc]
        with organization_scope(alpha.id):
            assert sorted(Refund.objects.values_list("origin", "status", "taken_mtok")) == [
                ("customer", "failed", 0),
                ("stripe", "succeeded", 1_000_000),
            ]
        assert (available(alpha), owed(alpha)) == (0, 0)
        assert payment_now(payment.id, alpha).refunded_minor == payment.total_minor
        assert_ledger_clean()


@given(bonus=st.integers(0, 10**9), parts=st.lists(st.integers(1, 10**6), min_size=1, max_size=8))
@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
def test_no_sequence_of_parts_takes_more_of_a_bonus_than_there_is(bonus: int, parts: list[int]) -> None:
    payment = Payment(tokens_mtok=sum(parts))
    gone = Part()
    for mtok in parts:
        more = part_of_tokens(payment, mtok, gone=gone, bonus_mtok=bonus)
        gone = Part(0, gone.mtok + mtok, gone.bonus_mtok + more)
        assert gone.bonus_mtok == bonus * gone.mtok // payment.tokens_mtok
    assert gone.bonus_mtok == bonus
