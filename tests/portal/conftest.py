"""Somebody of the staff, for every test of this folder."""

from __future__ import annotations

import pytest
from django.test import Client

from tenants.models import User
from tests.detection.conftest import Caller, _fresh_memory, make_caller, version  # noqa: F401 fixtures
from tests.factories.second_factors import give_app
from tests.factories.tenants import make_user


@pytest.fixture
def sam(db: None) -> User:
    """Somebody of the staff, with a second factor."""
    user = make_user("sam@tokensight.example", is_staff=True)
    give_app(user)
    return user


@pytest.fixture
def staff(client: Client, sam: User) -> Client:
    """A browser in which somebody of the staff is signed in."""
    client.force_login(sam)
    return client
