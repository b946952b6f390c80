"""The page of a payment says what became of it afterwards: disputed, taken back, paid back."""

from __future__ import annotations

import re

import pytest
from django.test import Client

from tenants.models import Organization, User
from tests.billing.refunds.buying import buy
from tests.billing.refunds.test_bonuses import buy_with, dispute
from tests.billing.refunds.test_refunds import refund
from tests.stripe_standin import StandIn

pytestmark = pytest.mark.django_db


@pytest.fixture
def owner(client: Client, alpha: Organization, alice: User) -> Client:
    client.force_login(alice)
    return client


def page_of(owner: Client, payment: object) -> str:
    return owner.get(f"/o/alpha/billing/payments/{payment}/").content.decode()


def test_what_is_paid_says_all_that_came_with_it(standin: StandIn, alpha: Organization, owner: Client) -> None:
    seen = page_of(owner, buy_with(standin, alpha).id)
    assert "1,500 Tokens were credited" in seen
    assert "/refund/" in seen


@pytest.mark.parametrize(
    ("won", "says", "refundable"),
    [
        (None, "its Tokens are frozen", False),
        (False, "The bank took this payment back", False),
        (True, "Paid, and", True),
    ],
)
def test_a_dispute_is_said_in_each_state(
    standin: StandIn, alpha: Organization, owner: Client, won: bool | None, says: str, refundable: bool
) -> None:
    payment = buy(standin, alpha, 1_000)
    dispute(standin, payment, won=won)
    seen = page_of(owner, payment.id)
    assert says in seen
    assert ("/refund/" in seen) is refundable
    assert "not made by the card holder" in owner.get("/o/alpha/billing/refunds/").content.decode()


def test_what_was_paid_back_is_said(standin: StandIn, alpha: Organization, owner: Client) -> None:
    payment = buy_with(standin, alpha)
    refund(payment, 400_000)
    assert "Paid, and the Tokens are here" in page_of(owner, payment.id), "a part of it stays"
    refund(payment)
    seen = page_of(owner, payment.id)
    assert f"{payment.total} went back, and the Tokens with it." in seen
    assert "/refund/" not in seen
    (listed,) = re.findall(r"<tr>.*?/billing/payments/.*?</tr>", owner.get("/o/alpha/billing/").content.decode(), re.S)
    assert "Paid back" in listed
    assert "and 200 of a bonus" in owner.get("/o/alpha/billing/refunds/").content.decode()
