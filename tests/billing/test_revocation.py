"""A revoked sub-token is dead within a second in every process, and takes no hold from the commit on."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.db import connections
from django.utils import timezone

from billing.enums import HoldOutcome
from billing.services.sub_token_life import revoke_sub_token, suspend_sub_tokens
from billing.services.sub_tokens import IssuedSubToken, create_sub_token
from tenants.actors import PLATFORM, Actor
from tenants.identifiers import new_id
from tenants.models import Organization
from tenants.scope import organization_scope
from tests.billing.callers import callers
from tests.factories.billing import make_wallet

pytestmark = [pytest.mark.concurrency, pytest.mark.usefixtures("committed_db")]


@pytest.fixture
def issued(alpha: Organization) -> IssuedSubToken:
    """A sub-token with 10 Tokens."""
    now = timezone.now()
    make_wallet(alpha, 100_000, now=now)
    with organization_scope(alpha.id):
        return create_sub_token(organization_id=alpha.id, name="Line 1", mtok=10_000, actor=PLATFORM, now=now)


def suspend(*, sub_token_id: uuid.UUID, actor: Actor, now: datetime) -> Any:
    return suspend_sub_tokens(sub_token_ids=[sub_token_id], actor=actor, now=now)


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


@pytest.mark.parametrize(
    ("act", "code"), [(revoke_sub_token, "revoked_token"), (suspend, "suspended_token")], ids=["revoked", "suspended"]
)
def test_every_process_refuses_it_within_a_second(issued: IssuedSubToken, act: Callable[..., Any], code: str) -> None:
    with callers(issued.secret) as others:
        others.wait_until_ready()  # each has it in memory from here on, a copy at most 0.8 seconds old
        with organization_scope(issued.sub_token.organization_id):
            act(sub_token_id=issued.sub_token.id, actor=PLATFORM, now=timezone.now())
        done_at = time.monotonic()
        for told in others.refusals():
            assert told["code"] == code
            assert told["answered_at"] - done_at < 1.0


def test_a_hold_is_refused_from_the_commit_on(issued: IssuedSubToken) -> None:
    assert place_hold(issued) == HoldOutcome.HELD
    with organization_scope(issued.sub_token.organization_id):
        revoke_sub_token(sub_token_id=issued.sub_token.id, actor=PLATFORM, now=timezone.now())
    assert place_hold(issued) == HoldOutcome.ACCOUNT_CLOSED


def test_an_expired_one_holds_nothing_either(issued: IssuedSubToken) -> None:
    with connections["default"].cursor() as cursor, organization_scope(issued.sub_token.organization_id):
        cursor.execute("UPDATE billing_account SET expires_at = now() WHERE id = %s", [issued.sub_token.account_id])
    assert place_hold(issued) == HoldOutcome.ACCOUNT_EXPIRED
