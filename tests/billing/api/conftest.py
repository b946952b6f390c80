"""Two organizations with management keys: Alpha, which is rich, and Beta, the outsider."""

from __future__ import annotations

import pytest
from django.utils import timezone

from tenants.models import Organization
from tests.api_client import ApiClient, manager_of
from tests.factories.billing import make_wallet


@pytest.fixture(autouse=True)
def _fresh(fresh_process: None) -> None:
    """Nothing is remembered from another test."""


@pytest.fixture
def rich(alpha: Organization) -> Organization:
    """Alpha with 100 Tokens."""
    make_wallet(alpha, 100_000, now=timezone.now())
    return alpha


@pytest.fixture
def manager(rich: Organization) -> ApiClient:
    """A caller with Alpha's management key."""
    return manager_of(rich)


@pytest.fixture
def outsider(beta: Organization) -> ApiClient:
    """A caller with Beta's management key."""
    make_wallet(beta, 100_000, now=timezone.now())
    return manager_of(beta)
