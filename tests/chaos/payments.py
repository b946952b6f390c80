"""The payments of the storm over webhooks: how they are made at the stand-in, and what is checked afterwards."""

from __future__ import annotations

import random
import threading
import uuid
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from django.db import Error, connections
from django.utils import timezone

from billing.enums import Currency, GrantSource, PaymentStatus
from billing.errors import PaymentError
from billing.models import Grant, Payment, StripeEvent
from billing.queries.top_ups import offer_of_amount
from billing.services import topups
from billing.services.accounts import open_wallet
from billing.services.fulfilment import fulfil
from billing.services.reconciliation import reconcile_payments
from billing.services.verify import verify_ledger
from tenants.actors import PLATFORM
from tenants.models import Organization
from tenants.scope import platform_scope
from tests.stripe_standin import DECLINED, SECRET_KEY, StandIn

ORGANIZATIONS = 5


@dataclass
class Made:
    """The payments by id that were begun, and how many of them were paid."""

    begun: dict[uuid.UUID, Payment] = field(default_factory=dict)
    paid: int = 0


def make(standin: StandIn, paid: int, seed: int) -> Made:
    """Have `paid` payments made, and some declined, left open and expired among them."""
    chance, made = random.Random(seed), Made()
    organizations = [_organization(number) for number in range(ORGANIZATIONS)]
    topups.MOST_UNPAID = 10**9
    client = standin.client()
    while made.paid < paid:
        organization = chance.choice(organizations)
        payment = topups.begin_top_up(
            organization_id=organization.id,
            offer=offer_of_amount(
                tokens_mtok=chance.randint(500, 20_000) * 1000, currency=chance.choice(Currency.values)
            ),
            buyer=topups.Buyer(PLATFORM, f"buyer@{organization.slug}.example", "en"),
            now=timezone.now(),
        )
        made.begun[payment.id] = payment
        match chance.random():
            case rare if rare < 0.05:
                standin.pay(payment.checkout_url, DECLINED)
            case rare if rare < 0.08:
                client.v1.checkout.sessions.expire(payment.checkout_session_id)
            case _:
                if chance.random() < 0.05:
                    standin.pay(payment.checkout_url, DECLINED)
                assert standin.pay(payment.checkout_url, country=chance.choice(["CN", "DE", "US"])).went_on
                made.paid += 1
    return made


def all_events(standin: StandIn) -> list[dict[str, Any]]:
    """Return everything that the stand-in has to tell."""
    return list(_pages(standin, "/v1/events"))


def nothing_waits() -> bool:
    """Return whether every event that was stored is finished."""
    try:
        with platform_scope("test"):
            return not StripeEvent.objects.filter(finished_at=None).exists()
    except Error:
        connections.close_all()
        return False


class Returning:
    """Buyers who come back to their page, in a process of its own, again and again, at the same time as the events."""

    def __init__(self, made: Made, seed: int) -> None:
        self.count = 0
        self._sessions = [payment.checkout_session_id for payment in made.begun.values()]
        self._chance = random.Random(seed)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        self._thread.join(120)
        assert not self._thread.is_alive(), "a buyer never came back"

    def _run(self) -> None:
        while not self._stop.wait(0.2):
            try:
                fulfil(checkout_session_id=self._chance.choice(self._sessions), now=timezone.now())
                self.count += 1
            except (Error, PaymentError):
                with suppress(Error):
                    connections.close_all()
        connections.close_all()


def everything(standin: StandIn, made: Made, events: int) -> list[str]:
    """Return what is off; empty when every payment at Stripe has its grant and no other grant is there."""
    received = {
        intent["metadata"]["payment"]: (intent["amount_received"], intent["currency"].upper())
        for intent in _pages(standin, "/v1/payment_intents")
        if intent["status"] == "succeeded"
    }
    found: list[str] = []
    with platform_scope("test"):
        payments = {str(payment.id): payment for payment in Payment.objects.select_related("grant")}
        grants = Counter(Grant.objects.filter(source=GrantSource.PURCHASE).values_list("reference", flat=True))
        stored = StripeEvent.objects.count()
        unfinished = StripeEvent.objects.filter(finished_at=None).count()
    paid = {name: payment for name, payment in payments.items() if payment.status == PaymentStatus.PAID}
    if len(received) != made.paid:
        found.append(f"{made.paid} were paid and Stripe has {len(received)}")
    if paid.keys() != received.keys():
        found.append(f"paid here and there: {len(paid.keys() ^ received.keys())} differ")
    found += [f"{name} has {count} grants" for name, count in grants.items() if count != 1]
    if grants.keys() != received.keys():
        found.append(f"granted and paid: {len(grants.keys() ^ received.keys())} differ")
    for name, payment in paid.items():
        if (payment.total_minor, payment.currency) != received.get(name):
            found.append(f"{name}: {payment.total} here, {received.get(name)} at Stripe")
        if payment.grant is None or payment.grant.amount_mtok != payment.tokens_mtok:
            found.append(f"{name}: the grant is not what was bought")
    for currency in Currency.values:
        here = sum(payment.total_minor for payment in paid.values() if payment.currency == currency)
        there = sum(minor for minor, named in received.values() if named == currency)
        if here != there:
            found.append(f"{currency}: {here} here, {there} at Stripe")
    if (stored, unfinished) != (events, 0):
        found.append(f"{stored} events stored of {events}, {unfinished} not finished")
    if not verify_ledger(now=timezone.now()).passed:
        found.append("the ledger is off")
    run = reconcile_payments(now=timezone.now() + timedelta(minutes=30))
    if run.differences or run.error:
        found.append(f"the reconciliation found {run.differences[:3]} {run.error}")
    return found


def summary() -> str:
    """Return in words what there is in the end."""
    with platform_scope("test"):
        payments = list(Payment.objects.all())
        events = Counter(StripeEvent.objects.values_list("status", flat=True))
        attempts = Counter(StripeEvent.objects.values_list("attempts", flat=True))
    states = Counter(payment.status for payment in payments)
    paid = [payment for payment in payments if payment.status == PaymentStatus.PAID]
    money = {
        currency: sum(payment.total_minor for payment in paid if payment.currency == currency)
        for currency in Currency.values
    }
    mtok = sum(payment.tokens_mtok for payment in paid)
    told = f"events: {dict(events)}, by attempts: {dict(attempts)}"
    return f"payments: {dict(states)}, {money} minor units, {mtok} mtok; {told}"


def _organization(number: int) -> Organization:
    organization = Organization(id=uuid.uuid4(), name=f"Storm {number}", slug=f"storm-{number}")
    with platform_scope("test"):
        organization.save(force_insert=True)
    open_wallet(organization.id)
    return organization


def _pages(standin: StandIn, path: str) -> Iterator[dict[str, Any]]:
    after: dict[str, Any] = {}
    while True:
        answer = standin.http.get(
            path, params={"limit": 100, **after}, headers={"Authorization": f"Bearer {SECRET_KEY}"}
        ).json()
        yield from answer["data"]
        if not answer["has_more"]:
            return
        after = {"starting_after": answer["data"][-1]["id"]}
