"""Automatic top-ups while Stripe goes away or a process dies: charged once, credited once, or given up."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from billing.enums import AutoTopUpStatus, PaymentStatus, StopReason
from billing.models import Account
from tenants.models import Organization
from tests.billing.payments.automatic import available, deliver_all, lose_the_answer, run
from tests.factories.alerts import spend
from tests.factories.auto_top_ups import TOKENS, give_card, payments_of, row_of, turn_on
from tests.factories.billing import make_wallet
from tests.stripe_standin import StandIn

pytestmark = pytest.mark.django_db(transaction=True)
S = AutoTopUpStatus


@pytest.fixture
def wallet(alpha: Organization) -> Account:
    return make_wallet(alpha, 150_000, now=timezone.now())


@pytest.mark.parametrize("after", [False, True], ids=["before", "after the charge"])
def test_stripe_that_goes_away_is_asked_again_with_the_same_key(
    after: bool,
    alpha: Organization,
    wallet: Account,
    standin: StandIn,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """lago-api#5870, openmeter#5118: asked twice charges twice, or a lost answer loses the credit. Neither here."""
    give_card(alpha, standin)
    turn_on(alpha)
    spend(wallet, 100_000)
    lose_the_answer(monkeypatch) if after else standin.go_away(3)
    assert run() == 1
    assert (row_of(alpha).status, available(alpha)) == (S.WAITING, 50_000)
    assert run() == 0, "not before the lease is over"
    assert run(timezone.now() + timedelta(seconds=62)) == 1
    assert len(standin.client().v1.charges.list({"limit": 10}).data) == 1
    assert len(payments_of(alpha)) == 1
    assert available(alpha) == 50_000 + TOKENS
    assert row_of(alpha).status == S.ON


def test_a_webhook_alone_brings_what_nobody_recorded(
    alpha: Organization, wallet: Account, standin: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    give_card(alpha, standin)
    turn_on(alpha)
    spend(wallet, 100_000)
    lose_the_answer(monkeypatch)
    run()
    deliver_all(standin)
    assert available(alpha) == 50_000 + TOKENS
    assert row_of(alpha).status == S.ON
    assert run(timezone.now() + timedelta(minutes=5)) == 0


def test_a_key_that_stripe_has_forgotten_is_not_used_again(
    alpha: Organization,
    wallet: Account,
    standin: StandIn,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A day later the same question could charge again: the charge is looked for instead."""
    give_card(alpha, standin)
    turn_on(alpha)
    spend(wallet, 100_000)
    lose_the_answer(monkeypatch)
    run()
    assert run(timezone.now() + timedelta(hours=30)) == 1
    assert len(standin.client().v1.payment_intents.list({"limit": 10}).data) == 1
    assert available(alpha) == 50_000 + TOKENS


def test_a_charge_that_was_never_made_is_given_up_a_day_later(
    alpha: Organization,
    wallet: Account,
    standin: StandIn,
) -> None:
    give_card(alpha, standin)
    turn_on(alpha)
    spend(wallet, 100_000)
    standin.go_away(3)
    run()
    assert run(timezone.now() + timedelta(hours=30)) == 1
    assert row_of(alpha).stop_reason == StopReason.REFUSED
    assert standin.client().v1.payment_intents.list({"limit": 10}).data == []
    assert payments_of(alpha)[0].status == PaymentStatus.FAILED
