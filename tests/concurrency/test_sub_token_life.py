"""Sub-tokens rotated, revoked and emptied while calls come in, on connections of their own."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone

from billing.models import Account, RetiredSecret, SubToken
from billing.queries import credentials
from billing.queries.credentials import credential_for_secret, forget_credentials
from billing.services.sub_token_bulk import BulkAct, carry_out
from billing.services.sub_token_life import revoke_sub_token, rotate_secret
from billing.services.sub_tokens import IssuedSubToken, create_sub_token
from tenants.actors import PLATFORM
from tenants.models import Organization
from tenants.scope import organization_scope
from tenants.secrets import hash_secret
from tests.concurrency.racing import connect, place, race
from tests.factories.billing import assert_ledger_clean, make_wallet

pytestmark = [pytest.mark.concurrency, pytest.mark.usefixtures("committed_db", "fresh_process")]
HOUR = timedelta(hours=1)
ROTATIONS, READERS, SPENDERS = 20, 4, 4


@pytest.fixture
def issued(alpha: Organization) -> IssuedSubToken:
    """A sub-token with more than a test can spend."""
    return create(alpha, "Line 1", 10**9)


def create(alpha: Organization, name: str, mtok: int) -> IssuedSubToken:
    now = timezone.now()
    make_wallet(alpha, 10**9, now=now)
    with organization_scope(alpha.id):
        return create_sub_token(organization_id=alpha.id, name=name, mtok=mtok, actor=PLATFORM, now=now)


def rotate(issued: IssuedSubToken) -> str:
    with organization_scope(issued.sub_token.organization_id):
        return rotate_secret(sub_token_id=issued.sub_token.id, grace=HOUR, actor=PLATFORM, now=timezone.now()).secret


def test_no_call_with_a_living_secret_is_refused_while_secrets_rotate(issued: IssuedSubToken) -> None:
    living, done = [issued.secret], threading.Event()

    def rotator() -> str:
        while len(living) <= ROTATIONS:
            living.append(rotate(issued))
        done.set()
        return "rotated"

    def caller() -> str:
        for count in itertools.count():
            secret = living[-1] if count % 2 else living[count % len(living)]
            forget_credentials()
            credential = credential_for_secret(secret)
            assert credential is not None, "a living secret was not found"
            credential.require_live(timezone.now())
            if done.is_set():
                return "called"
        raise AssertionError

    assert race([rotator] + [caller] * READERS) == {"rotated": 1, "called": READERS}
    assert len(set(living)) == ROTATIONS + 1


def test_the_control_two_questions_lose_a_secret_that_rotates_between_them(issued: IssuedSubToken) -> None:
    """Why both are asked in one statement: asked one after the other, a living secret is in neither answer."""

    def found(function: str) -> int:
        with connection.cursor() as cursor:
            cursor.execute(f"SELECT count(*) FROM {function}(%s)", [hash_secret(issued.secret)])
            return cursor.fetchone()[0]

    former = found("billing_retired_secret_by_hash")
    rotate(issued)
    with organization_scope(issued.sub_token.organization_id):
        current = SubToken.objects.filter(secret_hash=hash_secret(issued.secret)).count()
    assert (former, current) == (0, 0)
    with connection.cursor() as cursor:
        cursor.execute(credentials.FIND, {"hash": hash_secret(issued.secret)})
        assert len(cursor.fetchall()) == 1


def test_of_many_rotations_at_once_each_secret_lives_and_one_is_the_newest(issued: IssuedSubToken) -> None:
    secrets = list(race([lambda: rotate(issued)] * 8))
    assert len(secrets) == 8
    forget_credentials()
    found = [credential_for_secret(secret) for secret in [issued.secret, *secrets]]
    assert all(found)
    assert [one.secret_ends_at for one in found if one].count(None) == 1
    with organization_scope(issued.sub_token.organization_id):
        assert RetiredSecret.objects.count() == 8


def spend_while(issued: IssuedSubToken, stop: Callable[[], Any]) -> set[str]:
    """Place holds on several connections, `stop` the sub-token meanwhile; return what became of those begun after."""
    account = Account(id=issued.sub_token.account_id, organization_id=issued.sub_token.organization_id)
    all_spend, stopped = threading.Barrier(SPENDERS + 1), threading.Event()

    def stopper() -> frozenset[str]:
        all_spend.wait(timeout=60)
        try:
            stop()
        finally:
            stopped.set()
        return frozenset()

    def spender() -> frozenset[str]:
        with connect() as web:
            assert place(web, account, 1)[0] == "held"
            all_spend.wait(timeout=60)
            while not stopped.is_set():
                place(web, account, 1)
            return frozenset(place(web, account, 1)[0] for _ in range(10))

    return set().union(*race([stopper] + [spender] * SPENDERS))


def test_no_hold_that_begins_after_the_revocation_is_placed(issued: IssuedSubToken) -> None:
    def revoke() -> None:
        with organization_scope(issued.sub_token.organization_id):
            revoke_sub_token(sub_token_id=issued.sub_token.id, actor=PLATFORM, now=timezone.now())

    assert spend_while(issued, revoke) == {"account_closed"}
    assert_ledger_clean()


def test_the_control_a_revocation_that_leaves_the_account_open_is_outrun(issued: IssuedSubToken) -> None:
    def forget_the_account() -> None:
        with organization_scope(issued.sub_token.organization_id):
            SubToken.objects.filter(id=issued.sub_token.id).update(revoked_at=timezone.now())

    assert spend_while(issued, forget_the_account) == {"held"}


def test_many_are_revoked_and_emptied_from_two_sides_and_nothing_is_lost(alpha: Organization) -> None:
    tokens = [create(alpha, f"Line {number}", 2_000).sub_token for number in range(12)]
    ids = [one.id for one in tokens]
    accounts = [Account(id=one.account_id, organization_id=alpha.id) for one in tokens]

    def revoker(chosen: list[Any]) -> Callable[[], int]:
        def run() -> int:
            with organization_scope(alpha.id):
                return carry_out(
                    act=BulkAct.REVOKE, sub_token_ids=chosen, reclaim=True, actor=PLATFORM, now=timezone.now()
                ).reclaimed_mtok

        return run

    def spender() -> int:
        held = 0
        with connect() as web:
            for account in accounts * 3:
                held += place(web, account, 7)[0] == "held"
        return -7 * held

    found = race([revoker(ids[:9]), revoker(ids[::-1][:9]), revoker(ids[2:]), spender, spender])
    reclaimed = sum(mtok * times for mtok, times in found.items() if mtok > 0)
    held = -sum(mtok * times for mtok, times in found.items() if mtok < 0)
    assert reclaimed + held == 12 * 2_000
    with organization_scope(alpha.id):
        assert not SubToken.objects.filter(revoked_at=None).exists()
    assert_ledger_clean()
