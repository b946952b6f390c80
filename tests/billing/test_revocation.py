"""A revoked sub-token is dead within a second in every process, and takes no hold from the commit on."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import timedelta
from urllib.parse import quote

import pytest
from django.conf import settings
from django.db import connections
from django.utils import timezone

from billing.enums import HoldOutcome
from billing.services.sub_token_life import revoke_sub_token
from billing.services.sub_tokens import IssuedSubToken, create_sub_token
from tenants.actors import PLATFORM
from tenants.identifiers import new_id
from tenants.models import Organization
from tenants.scope import organization_scope
from tests.factories.billing import make_wallet

PROCESSES = 3
pytestmark = [pytest.mark.concurrency, pytest.mark.usefixtures("committed_db")]


@pytest.fixture
def issued(alpha: Organization) -> IssuedSubToken:
    """A sub-token with 10 Tokens."""
    now = timezone.now()
    make_wallet(alpha, 100_000, now=now)
    with organization_scope(alpha.id):
        return create_sub_token(organization_id=alpha.id, name="Line 1", mtok=10_000, actor=PLATFORM, now=now)


@pytest.fixture
def others(issued: IssuedSubToken) -> Iterator[list[subprocess.Popen[str]]]:
    """Processes that use the sub-token all the time."""
    parameters = connections["default"].get_connection_params()
    host = f"?host={quote(parameters['host'], safe='')}" if parameters.get("host") else ""
    environment = {
        **os.environ,
        "DJANGO_SETTINGS_MODULE": "portal.settings",
        "DATABASE_URL": f"postgresql://{parameters['user']}@/{parameters['dbname']}{host}",
        "REDIS_URL": settings.REDIS_URL,
    }
    command = [sys.executable, "-m", "tests.billing.asks_balance", issued.secret]
    started = [subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) for _ in range(PROCESSES)]
    yield started
    for process in started:
        process.kill()
        process.communicate()


def place_hold(issued: IssuedSubToken) -> str:
    now, hold_id = timezone.now(), new_id()
    account = issued.sub_token.account_id
    with connections["default"].cursor() as cursor:
        cursor.execute(
            "SELECT outcome FROM billing_place_hold(%s, %s, %s, 10, %s, %s, %s, %s)",
            [
                issued.sub_token.organization_id,
                account,
                hold_id,
                str(hold_id),
                hold_id,
                now + timedelta(minutes=1),
                now,
            ],
        )
        return cursor.fetchone()[0]


def test_every_process_refuses_it_within_a_second(issued: IssuedSubToken, others: list[subprocess.Popen[str]]) -> None:
    for process in others:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    time.sleep(1)  # each has it in memory now
    with organization_scope(issued.sub_token.organization_id):
        revoke_sub_token(sub_token_id=issued.sub_token.id, actor=PLATFORM, now=timezone.now())
    revoked_at = time.monotonic()
    for process in others:
        told = json.loads(process.communicate(timeout=30)[0])
        assert told["code"] == "revoked_token"
        assert told["answered_at"] - revoked_at < 1.0


def test_a_hold_is_refused_from_the_commit_on(issued: IssuedSubToken) -> None:
    assert place_hold(issued) == HoldOutcome.HELD
    with organization_scope(issued.sub_token.organization_id):
        revoke_sub_token(sub_token_id=issued.sub_token.id, actor=PLATFORM, now=timezone.now())
    assert place_hold(issued) == HoldOutcome.ACCOUNT_CLOSED


def test_an_expired_one_holds_nothing_either(issued: IssuedSubToken) -> None:
    with connections["default"].cursor() as cursor, organization_scope(issued.sub_token.organization_id):
        cursor.execute("UPDATE billing_account SET expires_at = now() WHERE id = %s", [issued.sub_token.account_id])
    assert place_hold(issued) == HoldOutcome.ACCOUNT_EXPIRED
