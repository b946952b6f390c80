"""What the tests of the stand-in for Stripe share: its own client, and a customer.

After each of them, everything that the stand-in has told by then is held against the stripe library's types.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import stripe

from tests.portal.local_stripe.faithful import differences
from tests.stripe_standin import SECRET_KEY, StandIn

# Everything that can be listed without asking for somebody's.
LISTS = (
    "customers",
    "products",
    "prices",
    "checkout/sessions",
    "coupons",
    "setup_intents",
    "payment_intents",
    "charges",
    "balance_transactions",
    "subscriptions",
    "invoices",
    "invoice_payments",
    "refunds",
    "disputes",
    "events",
)


def told(standin: StandIn, path: str, **params: Any) -> Any:
    """Return an answer of the API as it came."""
    headers = {"Authorization": f"Bearer {SECRET_KEY}"}
    answer = standin.http.get(f"/v1/{path}", params=params, headers=headers)
    assert answer.status_code == 200, answer.text
    return answer.json()


@pytest.fixture
def client(standin: StandIn) -> Iterator[stripe.StripeClient]:
    """The stripe library's client, pointed at an empty stand-in whose answers are checked at the end."""
    yield standin.client()
    standin.control("away", requests=0)
    for path in LISTS:
        assert differences(told(standin, path, limit=100)) == [], path
    for event in standin.events():
        assert differences(event["data"]["object"]) == [], event["type"]


@pytest.fixture
def customer(client: stripe.StripeClient) -> stripe.Customer:
    """A customer with an address."""
    return client.v1.customers.create({"email": "buyer@example.com", "address": {"country": "CN"}})
