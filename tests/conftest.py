"""Fixtures for every test: a database that the owner role migrates and the restricted role uses, and a clean Redis."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest
import redis
from django.conf import settings
from django.db import connections
from django.test import TransactionTestCase
from django.utils import timezone, translation
from pytest_django import DjangoDbBlocker

from billing.gateways.stripe import client as stripe_client
from billing.queries.credentials import forget_credentials
from billing.services import redis as limits_redis
from billing.services.redis import resume
from detection.services import redis as jobs_redis
from portal.celery import app
from tenants.models import Organization, Role, User
from tenants.services import idempotency
from tests.committed import remember_migrated_rows, restore_migrated_rows
from tests.factories.tenants import make_membership, make_organization, make_user
from tests.migrated import drop_database, dump_to, make_database

pytest_plugins = ["tests.scheduling", "tests.stripe_standin"]

# Longer than nearly every test takes on a busy machine.
LAST_SECONDS = 20
# Of a process that gets no processor: its server answers late, and is not away.
PATIENCE_SECONDS = 60.0


def pytest_configure() -> None:
    # How long an example takes, to be made or to be run, says more about the machine than about the code.
    hypothesis.settings.register_profile(
        "tokensight", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
    )
    hypothesis.settings.load_profile("tokensight")
    # A password hash that is slow on purpose would be most of the suite's time.
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
    # On a busy machine Redis, Stripe's stand-in, a mail server, or whoever came first with a key, may take longer to
    # answer than the product waits for them, without being away.
    limits_redis.TIMEOUT_SECONDS = jobs_redis.CONNECT_SECONDS = jobs_redis.ANSWER_SECONDS = PATIENCE_SECONDS
    stripe_client.CONNECT_SECONDS = stripe_client.READ_SECONDS = PATIENCE_SECONDS
    idempotency.WAIT = f"{PATIENCE_SECONDS:.0f}s"
    patiently = dict.fromkeys(("socket_timeout", "socket_connect_timeout"), PATIENCE_SECONDS)
    settings.CACHES["default"]["OPTIONS"] |= patiently
    app.conf.broker_transport_options |= patiently
    settings.EMAIL_TIMEOUT = PATIENCE_SECONDS


@pytest.fixture(scope="session")
def django_db_setup(django_db_blocker: DjangoDbBlocker, worker_id: str) -> Iterator[None]:
    """Make this worker's database as the owner, then let the restricted role connect to it."""
    owner, default = connections["owner"], connections["default"]
    name = f"test_tokensight_{worker_id}"
    with django_db_blocker.unblock():
        make_database(name)
        default.close()
        for connection in (owner, default):
            connection.settings_dict["NAME"] = settings.DATABASES[connection.alias]["NAME"] = name
        remember_migrated_rows()
        yield
        default.close()
        owner.close()
        drop_database(name)


@pytest.fixture(scope="session")
def migrated_dump(django_db_setup: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file with what the migrations make, for products with a server of their own."""
    path = tmp_path_factory.mktemp("migrated") / "dump.sql"
    dump_to(path)
    return path


@pytest.fixture(scope="session")
def worker_id(request: pytest.FixtureRequest) -> str:
    """Return the name of this xdist worker, or "main"."""
    return getattr(request.config, "workerinput", {}).get("workerid", "main")


# Django would flush as the restricted role, which may not; so for `transaction=True`, `live_server` and `committed_db`.
TransactionTestCase._fixture_teardown = lambda self: restore_migrated_rows()


@pytest.fixture
def committed_db(transactional_db: None) -> None:
    """Let a test commit for real (several connections, processes, crashes); every table is emptied afterwards.

    Connections that the test opened must be out of their transactions by then.
    """


@pytest.fixture
def fresh_storage(django_db_setup: None) -> None:
    """Give all tables new files first, where a test looks at how rows lie on the disk. Name it in `usefixtures`."""
    restore_migrated_rows(anew=True)


@pytest.fixture(autouse=True)
def _clean_redis() -> Iterator[None]:
    yield
    with redis.Redis.from_url(settings.REDIS_URL, socket_timeout=PATIENCE_SECONDS) as client:
        client.flushdb()


@pytest.fixture(autouse=True)
def _unspoken() -> Iterator[None]:
    """Let no test find the language or the time zone that another was answered in: a thread keeps both."""
    yield
    translation.deactivate()
    timezone.deactivate()


@pytest.fixture(autouse=True)
def _within_an_hour() -> None:
    """Begin no test in an hour's last seconds: limits, quotas and sums of the hour, the day or the month begin anew."""
    left = 3600 - time.time() % 3600
    if left < LAST_SECONDS:
        time.sleep(left)


@pytest.fixture
def fresh_process() -> Iterator[None]:
    """Let this process remember no credential from another test, and ask Redis again if it was away."""
    forget_credentials()
    resume()
    yield
    forget_credentials()
    resume()


@pytest.fixture
def alice(db: None) -> User:
    """The owner of the organization Alpha."""
    return make_user("alice@alpha.example")


@pytest.fixture
def alpha(alice: User) -> Organization:
    """Alice's organization."""
    return make_organization("Alpha", owner=alice)


@pytest.fixture
def bob(alpha: Organization) -> User:
    """A developer in Alpha."""
    return make_membership(alpha, make_user("bob@alpha.example"), Role.DEVELOPER).user


@pytest.fixture
def charlie(db: None) -> User:
    """The owner of Beta, and an outsider to Alpha."""
    return make_user("charlie@beta.example")


@pytest.fixture
def beta(charlie: User) -> Organization:
    """Charlie's organization."""
    return make_organization("Beta", owner=charlie)
