"""litellm#27193: an old key dies although its grace is not over. Ours works to the very end of it, and no longer.

Nothing that happens to a sub-token during a grace, or to the portal around it, may end it.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import datetime, timedelta

import pytest
from django.utils import timezone

from billing.queries import credentials
from billing.queries.credentials import credential_for_secret, forget_credentials
from billing.services.expiry import expire_grants
from billing.services.last_used import write_last_used
from billing.services.reminders import remind_of_ends
from billing.services.sub_token_life import (
    change_sub_token,
    end_grace,
    resume_sub_tokens,
    rotate_secret,
    suspend_sub_tokens,
)
from billing.services.sub_tokens import IssuedSubToken, allocate_to_sub_token, create_sub_token
from tenants.actors import PLATFORM
from tenants.api.problems import Problem
from tenants.models import Organization
from tenants.scope import organization_scope
from tenants.services.idempotency import forget_old_answers
from tests.billing.callers import callers
from tests.factories.billing import make_wallet

HOUR = timedelta(hours=1)


@pytest.fixture
def now() -> datetime:
    return timezone.now()


@pytest.fixture
def issued(alpha: Organization, now: datetime) -> Iterator[IssuedSubToken]:
    """A sub-token with 10 Tokens."""
    make_wallet(alpha, 100_000, now=now)
    with organization_scope(alpha.id):
        yield create_sub_token(organization_id=alpha.id, name="Line 1", mtok=10_000, actor=PLATFORM, now=now)
    forget_credentials()


def refused_with(secret: str, at: datetime) -> str | None:
    """Return the code that a call at this time is refused with, in a process that remembers nothing."""
    forget_credentials()
    credential = credential_for_secret(secret)
    assert credential is not None
    try:
        credential.require_live(at)
    except Problem as problem:
        return problem.code
    return None


@pytest.mark.django_db
def test_litellm_27193_the_old_secret_works_to_the_end_of_its_grace(issued: IssuedSubToken, now: datetime) -> None:
    new = rotate_secret(sub_token_id=issued.sub_token.id, grace=24 * HOUR, actor=PLATFORM, now=now)
    end = now + 24 * HOUR
    for moment in (now, now + HOUR, now + 23 * HOUR, end - timedelta(microseconds=1)):
        assert refused_with(issued.secret, moment) is None
    for moment in (end, end + timedelta(microseconds=1), end + 9 * HOUR):
        assert refused_with(issued.secret, moment) == "revoked_token"
    assert refused_with(new.secret, end) is None


@pytest.mark.django_db
def test_litellm_27193_nothing_else_ends_a_grace(issued: IssuedSubToken, now: datetime) -> None:
    which = {"sub_token_id": issued.sub_token.id, "actor": PLATFORM, "now": now}
    rotate_secret(**which, grace=24 * HOUR)
    change_sub_token(**which, changes={"name": "Line 2", "models": ["yolo26n"], "expires_at": now + 40 * 24 * HOUR})
    allocate_to_sub_token(**which, mtok=1_000)
    suspend_sub_tokens(sub_token_ids=[issued.sub_token.id], actor=PLATFORM, now=now)
    resume_sub_tokens(sub_token_ids=[issued.sub_token.id], actor=PLATFORM, now=now)
    rotate_secret(**which, grace=48 * HOUR)
    rotate_secret(**which, grace=30 * HOUR)
    for hours in range(0, 24, 6):
        later = now + hours * HOUR
        expire_grants(now=later)
        forget_old_answers(later)
        remind_of_ends(later)
        write_last_used()
        assert refused_with(issued.secret, later) is None
    assert refused_with(issued.secret, now + 24 * HOUR) == "revoked_token"


@pytest.mark.django_db
def test_a_process_that_remembers_the_secret_ends_it_on_time_too(
    issued: IssuedSubToken, now: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    rotate_secret(sub_token_id=issued.sub_token.id, grace=HOUR, actor=PLATFORM, now=now)
    forget_credentials()
    monkeypatch.setattr(credentials, "CACHE_SECONDS", 1e9)
    remembered = credential_for_secret(issued.secret)
    assert remembered is credential_for_secret(issued.secret)
    assert remembered is not None
    remembered.require_live(now + HOUR - timedelta(microseconds=1))
    with pytest.raises(Problem):
        remembered.require_live(now + HOUR)


@pytest.mark.concurrency
@pytest.mark.usefixtures("committed_db")
def test_every_process_keeps_to_the_end_of_the_grace(alpha: Organization) -> None:
    now = timezone.now()
    make_wallet(alpha, 100_000, now=now)
    with organization_scope(alpha.id):
        issued = create_sub_token(organization_id=alpha.id, name="Line 1", mtok=0, actor=PLATFORM, now=now)
    with callers(issued.secret) as others:
        others.wait_until_ready()
        rotated_at, grace = timezone.now(), timedelta(seconds=3)
        with organization_scope(alpha.id):
            rotate_secret(sub_token_id=issued.sub_token.id, grace=grace, actor=PLATFORM, now=rotated_at)
        for told in others.refusals():
            assert told["code"] == "revoked_token"
            # Whoever asked last and was answered, asked before the end; whoever was told that it is over, after it.
            assert datetime.fromisoformat(told["answered_on"]) < rotated_at + grace
            assert datetime.fromisoformat(told["told_on"]) >= rotated_at + grace


@pytest.mark.concurrency
@pytest.mark.usefixtures("committed_db")
@pytest.mark.parametrize("early", [False, True], ids=["without a grace", "ended early"])
def test_every_process_refuses_an_ended_secret_within_a_second(alpha: Organization, early: bool) -> None:
    now = timezone.now()
    make_wallet(alpha, 100_000, now=now)
    with organization_scope(alpha.id):
        issued = create_sub_token(organization_id=alpha.id, name="Line 1", mtok=0, actor=PLATFORM, now=now)
        if early:
            rotate_secret(sub_token_id=issued.sub_token.id, grace=HOUR, actor=PLATFORM, now=now)
    with callers(issued.secret) as others:
        others.wait_until_ready()
        with organization_scope(alpha.id):
            which = {"sub_token_id": issued.sub_token.id, "actor": PLATFORM, "now": timezone.now()}
            _ = end_grace(**which) if early else rotate_secret(**which, grace=timedelta())
        done_at = time.monotonic()
        for told in others.refusals():
            assert told["code"] == "revoked_token"
            # When it asked: a copy that it believed then was younger than CACHE_SECONDS, and of before the end.
            assert told["answered_at"] - done_at < 1.0
