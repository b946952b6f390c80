"""Calls that are taken in together: to the last thousandth, each once, and without the deadlocks of taking turns."""

from __future__ import annotations

import itertools
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import datetime
from functools import partial
from typing import Any

import orjson
import psycopg
import pytest
from django.db import OperationalError, connection
from django.utils import timezone

from billing.models import Hold, SubToken
from billing.queries.credentials import Credential, credential_for_sub_token
from detection.models import Job, ModelVersion
from detection.services import admission
from tenants.api.problems import Problem
from tenants.combining import Combiner
from tenants.identifiers import new_id
from tenants.scope import organization_scope
from tests.concurrency.racing import connect, end, race, wait_until_somebody_waits_for
from tests.detection.conftest import version  # noqa: F401 a fixture
from tests.factories.billing import assert_ledger_clean, balance_of
from tests.factories.jobs import PARAMETERS, make_spender
from tests.factories.limits import assert_limits_clean, make_limits, used

pytestmark = [pytest.mark.concurrency, pytest.mark.slow]
PRICE = 101


@pytest.fixture
def turns(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many calls went together, turn by turn; two combiners stand for two web processes.

    The first turn lasts until two calls wait for the next, so that some are sure to go together.
    """
    sizes: list[int] = []
    # Of each organization's threads every other is in the same process.
    mine, processes = threading.local(), defaultdict(lambda: itertools.cycle(range(2)))

    def counted(key: Any, calls: Sequence[tuple[Credential, Job]]) -> list[Any]:
        sizes.append(len(calls))
        if len(sizes) == 1:
            wait_for_company(combiners[mine.process], key, 2)
        assert len({credential.organization_id for credential, _job in calls}) == 1, "tenants never go together"
        return admission._admit_together(key, calls)

    combiners: list[Combiner] = [Combiner(counted, most=8) for _ in range(2)]

    def combiner(key: Any, call: tuple[Credential, Job]) -> Any:
        if not hasattr(mine, "process"):
            mine.process = next(processes[key[0]])
        return combiners[mine.process](key, call)

    monkeypatch.setattr(admission, "_combiner", combiner)
    return sizes


def wait_for_company(combiner: Combiner, key: Any, count: int) -> None:
    """Return when so many calls wait for the next turn."""
    until = time.monotonic() + 60
    while len(combiner._gathered[key]) < count:
        assert time.monotonic() < until, "nobody came"
        time.sleep(0.001)


def credential_of(sub_token: SubToken) -> Credential:
    with organization_scope(sub_token.organization_id):
        found = credential_for_sub_token(sub_token.organization_id, sub_token.id)
    assert found
    return found


def job_of(
    sub_token: SubToken,
    version: ModelVersion,  # noqa: F811 the fixture's name
    key: str | None = None,
    now: datetime | None = None,
) -> Job:
    return Job(
        id=new_id(), created_at=now or timezone.now(), organization_id=sub_token.organization_id,
        sub_token_id=sub_token.id, model_version_id=version.id, task="detect", img_size=640, parameters=PARAMETERS,
        price_mtok=PRICE, price_book=1, request_hash="", input_sha256="",
        image_width=64, image_height=48, idempotency_key=key,
    )  # fmt: skip


def ask(credential: Credential, job: Job) -> str:
    try:
        return "replayed" if admission.admit(credential, job).replayed else "admitted"
    except Problem as problem:
        return str(problem.code)


def test_one_account_to_its_last_thousandth(
    committed_db: None,
    version: ModelVersion,  # noqa: F811 the fixture
    turns: list[int],
) -> None:
    spender, now = make_spender(10_007), timezone.now()
    credential = credential_of(spender)

    def client() -> tuple[str, ...]:
        return tuple(ask(credential, job_of(spender, version, now=now)) for _ in range(6))

    counted = Counter(outcome for outcomes in race([client] * 24).elements() for outcome in outcomes)
    assert counted == {"admitted": 99, "insufficient_tokens": 24 * 6 - 99}
    left = balance_of(spender.account)
    assert (left.available_mtok, left.held_mtok) == (10_007 - 99 * PRICE, 99 * PRICE)
    assert jobs_and_holds(spender) == (99, 99)
    assert max(turns) > 1, "some did go together"
    assert sum(turns) == 24 * 6, "and nobody was tried twice"
    assert_ledger_clean()


def jobs_and_holds(spender: SubToken) -> tuple[int, int]:
    with organization_scope(spender.organization_id):
        return Job.objects.count(), Hold.objects.count()


def test_many_accounts_with_limits_and_keys(
    committed_db: None,
    version: ModelVersion,  # noqa: F811 the fixture
    turns: list[int],
) -> None:
    """Each two spend through every sub-token in an order of their own; every other call has a key that both send."""
    first = make_spender(30_000)
    spenders = [first, *(make_spender(30_000, beside=first) for _ in range(3))]
    credentials = [credential_of(spender) for spender in spenders]
    wallet, now = first.account.parent, timezone.now()
    assert wallet
    make_limits(wallet, now=now, hour=99 * PRICE + 5, total=10**6)
    make_limits(first.account, now=now, day=10 * PRICE)

    def client(number: int) -> tuple[str, ...]:
        outcomes = []
        for turn in range(8):
            at = (number // 2 * 3 + turn) % 4
            key = f"pair-{number // 2}-{turn}-{at}" if turn % 2 else None
            outcomes.append(ask(credentials[at], job_of(spenders[at], version, key, now)))
        return tuple(outcomes)

    counted = Counter(
        outcome for outcomes in race(partial(client, n) for n in range(24)).elements() for outcome in outcomes
    )
    assert counted["admitted"] == 99
    assert used(wallet, now=now)["hour"] == 99 * PRICE
    assert used(first.account, now=now)["day"] <= 10 * PRICE
    assert jobs_and_holds(first) == (99, 99)
    # At most 96 of those that were admitted had no key.
    assert counted["replayed"] >= 3
    assert set(counted) == {"admitted", "replayed", "hourly_limit_exceeded", "quota_exceeded"}
    assert max(turns) > 1
    assert sum(turns) == 24 * 8, "no batch failed, so nobody was tried again"
    assert_limits_clean()
    assert_ledger_clean()


def gathering(
    monkeypatch: pytest.MonkeyPatch, gathered: threading.Barrier, together: Callable[..., list[Any]]
) -> list[int]:
    """Let the first turn last until four calls wait for the next; return how many went together, turn by turn."""
    tried: list[int] = []

    def turn(key: Any, calls: Sequence[tuple[Credential, Job]]) -> list[Any]:
        tried.append(len(calls))
        if len(tried) == 1:
            gathered.wait(timeout=60)
            wait_for_company(admission._combiner, key, 4)
        return together(key, calls)

    monkeypatch.setattr(admission, "_combiner", Combiner(turn, most=8))
    return tried


def test_a_batch_with_one_that_cannot_be_takes_the_others(
    committed_db: None,
    version: ModelVersion,  # noqa: F811 the fixture
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A row that the database refuses undoes its batch; the others are then taken in, once, and it alone fails."""
    spender, now = make_spender(10_000), timezone.now()
    credential = credential_of(spender)
    jobs = [job_of(spender, version, now=now) for _ in range(5)]
    jobs[2].task = "x" * 300
    gathered = threading.Barrier(5)
    tried = gathering(monkeypatch, gathered, admission._admit_together)

    def client(job: Job) -> str:
        if job is not jobs[0]:
            gathered.wait(timeout=60)
        try:
            return ask(credential, job)
        except Exception as error:
            return type(error).__name__

    assert race(partial(client, job) for job in jobs) == {"admitted": 4, "DataError": 1}
    assert tried[:2] == [1, 4]
    assert sorted(tried[2:]) == [1, 1, 1, 1]
    assert jobs_and_holds(spender) == (4, 4)
    assert balance_of(spender.account).held_mtok == 4 * PRICE
    assert_ledger_clean()


def test_two_organizations_never_go_together(
    committed_db: None,
    version: ModelVersion,  # noqa: F811 the fixture
    turns: list[int],
) -> None:
    spenders = [make_spender(10_000), make_spender(10_000)]
    credentials, now = [credential_of(spender) for spender in spenders], timezone.now()

    def client(number: int) -> tuple[str, ...]:
        at = number % 2
        return tuple(ask(credentials[at], job_of(spenders[at], version, now=now)) for _ in range(4))

    counted = Counter(outcome for each in race(partial(client, n) for n in range(16)).elements() for outcome in each)
    assert counted == {"admitted": 64}
    assert [jobs_and_holds(spender) for spender in spenders] == [(32, 32), (32, 32)]
    assert max(turns) > 1


@pytest.mark.parametrize("committed", [True, False])
def test_a_connection_that_breaks_in_the_middle_takes_nothing_twice(
    committed_db: None,
    version: ModelVersion,  # noqa: F811 the fixture
    monkeypatch: pytest.MonkeyPatch,
    committed: bool,
) -> None:
    """Whether the batch was committed and only the word of it lost, or not: each call is then asked for alone."""
    spender, now = make_spender(10_000), timezone.now()
    credential = credential_of(spender)
    gathered = threading.Barrier(5)

    def breaking(key: Any, calls: Sequence[tuple[Credential, Job]]) -> list[Any]:
        if len(calls) > 1:
            if committed:
                admission._admit_together(key, calls)
            with connect(owner=True) as owner:
                end(connection.connection.info.backend_pid, by=owner)
            if committed:
                raise OperationalError("the connection is lost")
        return admission._admit_together(key, calls)

    tried = gathering(monkeypatch, gathered, breaking)

    def client(number: int) -> str:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
        if number:
            gathered.wait(timeout=60)
        try:
            return ask(credential, job_of(spender, version, now=now))
        except OperationalError:
            return "away"

    # Who led has no connection any more; its caller is told so, and asks again.
    assert race(partial(client, number) for number in range(5)) == {"admitted": 4, "away": 1}
    assert tried[:2] == [1, 4]
    kept = 5 if committed else 4
    assert jobs_and_holds(spender) == (kept, kept)
    assert balance_of(spender.account).held_mtok == kept * PRICE
    assert_ledger_clean()


def send(own: psycopg.Connection, pairs: Sequence[tuple[Credential, Job]]) -> list[str]:
    calls = orjson.dumps(
        [
            {
                "account": credential.account_id, "sub_token": credential.sub_token_id, "key": None, "request_hash": "",
                "may_wait": False, "weight": 1.0, "job": orjson.Fragment(admission.row_of(job)),
                "deadline": job.created_at, "now": job.created_at,
            }
            for credential, job in pairs
        ]
    ).decode()  # fmt: skip
    organization = str(pairs[0][0].organization_id)
    sql = "SELECT outcome FROM detection_admit_together(%s, %s)"
    return [outcome for (outcome,) in own.execute(sql, [organization, calls]).fetchall()]


def test_together_has_no_order_to_get_wrong(committed_db: None, version: ModelVersion) -> None:  # noqa: F811 the fixture
    one = make_spender()
    two = make_spender(beside=one)

    def client(order: Sequence[SubToken]) -> None:
        with connect() as own:
            for _ in range(20):
                pairs = [(credential_of(spender), job_of(spender, version)) for spender in order]
                assert send(own, pairs) == ["admitted", "admitted"]

    race([partial(client, (one, two)), partial(client, (two, one))])
    assert jobs_and_holds(one) == (80, 80)
    assert_ledger_clean()


def test_one_after_the_other_would_deadlock(committed_db: None, version: ModelVersion) -> None:  # noqa: F811 the fixture
    """The negative control: the same calls in one transaction, but each takes its locks when its turn comes."""
    one = make_spender()
    two = make_spender(beside=one)
    first_is_in = threading.Event()

    def client(order: Sequence[SubToken], *, first: bool) -> str:
        pairs = [(credential_of(spender), job_of(spender, version)) for spender in order]
        with connect() as own, connect(owner=True) as watch, suppress(psycopg.errors.DeadlockDetected):
            if not first:
                assert first_is_in.wait(timeout=60)
            with own.transaction():
                for pair in pairs:
                    send(own, [pair])
                    if first and not first_is_in.is_set():
                        first_is_in.set()
                        wait_until_somebody_waits_for(own.info.backend_pid, watch=watch)
            return "admitted"
        return "deadlock"

    assert race([partial(client, (one, two), first=True), partial(client, (two, one), first=False)]) == {
        "admitted": 1,
        "deadlock": 1,
    }
    assert jobs_and_holds(one) == (2, 2)
    assert_ledger_clean()
