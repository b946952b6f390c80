"""Plans while everything happens at once: Tokens of a period once, no change lost, no boost over another."""

from __future__ import annotations

import itertools
import random
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from django.utils import timezone

from billing.errors import PlanError
from billing.gateways.stripe import invoices
from billing.gateways.stripe.events import read_payload
from billing.models import Boost, Payment, PlanPeriod
from billing.services import plan_orders
from billing.services.boosts import start_boost
from billing.services.plan_tokens import give_plan_tokens
from billing.services.stripe_events import process_due_events, receive
from billing.services.subscriptions import begin_due_periods, locked_subscription
from tenants.models import Organization
from tenants.scope import organization_scope
from tests.billing.plans.buying import Customer
from tests.concurrency.racing import race
from tests.factories.billing import NOW, assert_ledger_clean, make_wallet
from tests.factories.payments import make_payment
from tests.factories.plans import make_plan, put_on
from tests.stripe_standin import StandIn, standin, stripe_server

__all__ = ["standin", "stripe_server"]

pytestmark = [pytest.mark.concurrency, pytest.mark.usefixtures("committed_db", "fresh_process")]
CALLERS = 8


@pytest.fixture
def customer(standin: StandIn, alpha: Organization) -> Customer:
    make_wallet(alpha)
    put_on(alpha, "free")
    return Customer(standin, alpha)


@pytest.mark.parametrize("same_key", [True, False], ids=["once", "control: a key each gives as many grants"])
def test_a_period_brings_its_tokens_once(alpha: Organization, same_key: bool) -> None:
    make_wallet(alpha)
    plan = make_plan("team", monthly_mtok=5_000)
    row = put_on(alpha, "free")

    def give() -> int:
        with organization_scope(alpha.id):
            given = give_plan_tokens(
                subscription=row,
                plan=plan,
                key="invoice:in_1" if same_key else f"invoice:{uuid.uuid4()}",
                tokens_mtok=5_000,
                starts_at=row.period_starts_at,
                ends_at=row.period_ends_at,
                now=NOW,
            )
        return given.tokens_mtok

    assert race([give] * CALLERS) == {5_000: CALLERS}
    with organization_scope(alpha.id):
        assert PlanPeriod.objects.filter(plan=plan).count() == (1 if same_key else CALLERS)
    assert_ledger_clean()


def test_schedulers_beside_each_other_begin_a_month_once(alpha: Organization) -> None:
    make_wallet(alpha)
    row = put_on(alpha, make_plan("team", monthly_mtok=5_000))
    race([lambda: begin_due_periods(now=row.period_ends_at)] * CALLERS)
    with organization_scope(alpha.id):
        assert PlanPeriod.objects.filter(plan__key="team").count() == 2


def test_news_of_a_subscription_in_any_order_and_at_once(customer: Customer) -> None:
    change = customer.change("basic")
    customer.standin.pay(change.url)
    events = [event for event in customer.standin.events() for _ in range(3)]
    random.Random(7).shuffle(events)
    for number, event in enumerate(events):
        # Some of them under another id, as if Stripe had made them anew.
        name = event["id"] if number % 2 else f"{event['id']}_{number}"
        receive(event=read_payload({**event, "id": name}), now=timezone.now())
    race([process_due_events] * CALLERS)
    assert customer.state() == ("basic", "active", None)
    assert customer.plan_tokens() == [10_000_000]
    assert len(customer.payments()) == 1
    assert_ledger_clean()


@contextmanager
def _open_gate(organization_id: uuid.UUID, now: Any) -> Iterator[str]:
    yield f"plan-{uuid.uuid4()}"


@pytest.mark.parametrize("gate", [True, False], ids=["one at a time", "control: without the gate several pass"])
def test_upgrades_at_once(customer: Customer, monkeypatch: pytest.MonkeyPatch, gate: bool) -> None:
    customer.subscribe("basic")
    asked = []
    if not gate:
        monkeypatch.setattr(plan_orders, "changing", _open_gate)
    upgrade, all_ask = plan_orders.subscriptions.upgrade, threading.Barrier(4)

    def counted(**values: Any) -> Any:
        asked.append(values["key"])
        if not gate:
            all_ask.wait(timeout=60)
            raise PlanError
        return upgrade(**values)

    monkeypatch.setattr(plan_orders.subscriptions, "upgrade", counted)

    def change() -> str:
        try:
            return customer.change("advanced").state
        except PlanError:
            return "refused"

    outcomes = race([change] * 4)
    if not gate:
        assert len(set(asked)) == 4
        return
    assert outcomes == {"done": 1, "refused": 3}
    assert len(asked) == 1
    customer.hear()
    assert customer.state() == ("advanced", "active", None)
    assert len(customer.plan_tokens()) == 2


# Before which of its own steps an upgrade finds that the subscription has been renewed meanwhile.
STEPS = {
    "before it begins": (plan_orders, "preview_change"),
    "before it is shown": (plan_orders.subscriptions, "preview_upgrade"),
    "before it is asked for": (plan_orders.subscriptions, "upgrade"),
    "before it is looked at": (plan_orders, "look"),
    "before it is settled": (plan_orders, "settle"),
}


@pytest.mark.parametrize("step", [*STEPS, "at once"])
def test_an_upgrade_that_races_the_renewal(customer: Customer, monkeypatch: pytest.MonkeyPatch, step: str) -> None:
    customer.subscribe("basic")
    stripe_id = customer.row().stripe_id
    assert stripe_id

    def renew() -> str:
        customer.standin.control(f"subscriptions/{stripe_id}/renew")
        customer.hear()
        return "renewed"

    def change() -> str:
        return customer.change("advanced").state

    if step in STEPS:
        place, name = STEPS[step]
        act = getattr(place, name)

        def renew_and_go_on(*words: Any, **values: Any) -> Any:
            monkeypatch.setattr(place, name, act)
            renew()
            return act(*words, **values)

        monkeypatch.setattr(place, name, renew_and_go_on)
        assert change() == "done"
    else:
        assert race([change, renew]) == {"done": 1, "renewed": 1}
    customer.hear()
    paid = invoices.paid_invoices(stripe_id)
    with organization_scope(customer.id):
        known = set(Payment.objects.exclude(invoice_id="").values_list("invoice_id", flat=True))
        keys = set(PlanPeriod.objects.filter(key__startswith="invoice:").values_list("key", flat=True))
    brought = {invoice.id for invoice in paid if invoice.bought}
    assert known == brought
    assert keys == {f"invoice:{name}" for name in brought}
    plan, status, coming = customer.state()
    assert (plan, status, coming) == ("advanced", "active", None)
    assert_ledger_clean()


def test_boosts_that_are_paid_at_once_follow_each_other(alpha: Organization) -> None:
    make_wallet(alpha)
    payments = [make_payment(alpha, 0, kind="boost", amount_minor=100) for _ in range(CALLERS)]
    with organization_scope(alpha.id):
        for payment in payments:
            Boost.objects.create(organization=alpha, name="Double", factor=2, hours=1, payment=payment)

    def start(payment: Payment) -> None:
        with organization_scope(alpha.id):
            start_boost(payment, now=NOW)

    # Each is told twice.
    race([lambda payment=payment: start(payment) for payment in payments * 2])
    with organization_scope(alpha.id):
        locked_subscription(alpha.id)
        found = list(Boost.objects.order_by("starts_at"))
    assert found[0].starts_at == NOW
    assert all(before.ends_at == after.starts_at for before, after in itertools.pairwise(found))
