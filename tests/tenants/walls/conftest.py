"""Two organizations with a row of each table, and the credentials of one, for the walks along the walls.

The rows are made once for a module, in a transaction that is never committed; what a test does to them is rolled back
to a savepoint. To make them for each of some 1,500 tests would take most of their time.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest
from django.db import connection, transaction
from pytest_django import DjangoDbBlocker

from billing.models import SubToken
from tenants.models import ManagementKey, Organization, User
from tenants.permissions import MANAGEMENT_KEY_SCOPES
from tenants.scope import organization_scope, platform_scope
from tenants.secrets import SecretKind, hash_secret, new_secret, shown_prefix
from tests.factories.rows import Rows, tenant_models
from tests.factories.tenants import make_organization, make_user
from tests.tenants.routes import OBJECTS


@dataclass(frozen=True)
class World:
    """A row of each table for Alpha, which is Alice's, and for Beta, Charlie's, what routes ask for."""

    alice: User
    alpha: Rows
    charlie: User
    beta: Rows


@pytest.fixture(scope="module")
def world(django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> Iterator[World]:
    with django_db_blocker.unblock(), transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute("SET LOCAL idle_in_transaction_session_timeout = 0")
        alice, charlie = make_user("alice@alpha.example"), make_user("charlie@beta.example")
        alpha, beta = (
            Rows(make_organization("Alpha", owner=alice)),
            Rows(make_organization("Beta", owner=charlie)),
        )
        with platform_scope("test data"):
            for model in tenant_models():
                alpha[model]
            for model in OBJECTS.values():
                beta[model]
        yield World(alice, alpha, charlie, beta)
        transaction.set_rollback(True)


@pytest.fixture(autouse=True)
def _undone(db: None) -> Iterator[None]:
    """Roll back before deferred constraints look: the rows are no ledger."""
    yield
    transaction.set_rollback(True)


@pytest.fixture
def rows(world: World, db: None) -> tuple[Rows, Rows]:
    """The rows of Alpha and of Beta; what a test makes besides is its own."""
    return world.alpha.copy(), world.beta.copy()


@pytest.fixture
def alice(world: World, db: None) -> User:
    return copy.copy(world.alice)


@pytest.fixture
def charlie(world: World, db: None) -> User:
    return copy.copy(world.charlie)


@pytest.fixture
def alpha(world: World, db: None) -> Organization:
    return copy.copy(world.alpha.organization)


@pytest.fixture
def beta(world: World, db: None) -> Organization:
    return copy.copy(world.beta.organization)


@pytest.fixture
def credentials(rows: tuple[Rows, Rows], beta: Organization) -> list[str]:
    """Secrets of Beta: a sub-token's, and a management key's that may do everything."""
    token, key = new_secret(SecretKind.SUB_TOKEN), new_secret(SecretKind.MANAGEMENT_KEY)
    with organization_scope(beta.id):
        SubToken.objects.update(
            secret_hash=hash_secret(token), prefix=shown_prefix(token), expires_at=datetime.now(UTC) + timedelta(days=1)
        )
        ManagementKey.objects.update(
            secret_hash=hash_secret(key),
            prefix=shown_prefix(key),
            scopes=[scope.value for scope in MANAGEMENT_KEY_SCOPES],
        )
    return [token, key]
