"""What the tests of the stand-in for Stripe share: its own client, and a customer."""

from __future__ import annotations

import pytest
import stripe

from tests.stripe_standin import StandIn


@pytest.fixture
def client(standin: StandIn) -> stripe.StripeClient:
    """The stripe library's client, pointed at an empty stand-in."""
    return standin.client()


@pytest.fixture
def customer(client: stripe.StripeClient) -> stripe.Customer:
    """A customer with an address."""
    return client.v1.customers.create({"email": "buyer@example.com", "address": {"country": "CN"}})
