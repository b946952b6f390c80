from __future__ import annotations

import pytest

from tenants.models import Organization
from tests.billing.plans.buying import Customer
from tests.factories.billing import make_wallet
from tests.factories.plans import put_on
from tests.stripe_standin import StandIn, standin, stripe_server

__all__ = ["standin", "stripe_server"]


@pytest.fixture
def customer(standin: StandIn, alpha: Organization) -> Customer:
    """Alpha, on the free plan, before it has ever bought anything."""
    make_wallet(alpha)
    put_on(alpha, "free")
    return Customer(standin, alpha)
