"""A batch is on disk before anybody is told, and its accounts are free before that."""

from __future__ import annotations

import operator
import threading
import time
from collections.abc import Callable
from datetime import timedelta

import psycopg
import pytest
from django.utils import timezone

from detection.enums import JobStatus
from detection.models import ModelVersion
from detection.services import queue, results, settlement
from detection.services.settlement import Outcome
from tenants.durable import wait_for_disk
from tests.concurrency.racing import connect, place
from tests.detection.conftest import version  # noqa: F401 a fixture
from tests.factories.billing import assert_ledger_clean
from tests.factories.jobs import job_now, make_spender, queue_job

pytestmark = [pytest.mark.concurrency, pytest.mark.usefixtures("committed_db")]


def position(owner: psycopg.Connection, what: str) -> int:
    """Return how far the log is written ("insert") or on disk ("flush"), in bytes."""
    row = owner.execute(f"SELECT pg_current_wal_{what}_lsn() - '0/0'").fetchone()
    assert row
    return int(row[0])


def settle_a_job(version: ModelVersion) -> None:  # noqa: F811 the fixture
    job = queue_job(make_spender(), version)
    lease, now = timedelta(hours=1), timezone.now()
    queue.claim(version_id=version.id, img_size=640, limit=8, worker="w", lease=lease, now=now)
    settlement.settle(outcomes=[Outcome(job.id, 1, [])], worker="w", now=timezone.now())
    assert job_now(job).status == JobStatus.SUCCEEDED


@pytest.mark.parametrize("waits", [True, False], ids=["as it is", "control: without waiting"])
def test_nobody_is_told_before_the_capture_is_on_disk(
    version: ModelVersion,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
    waits: bool,
) -> None:
    """PostgreSQL writes by itself a few times a second, and whenever another of its connections waits for the disk:
    without waiting, a capture may be on it by chance, so the control goes on until one is not."""
    committed, told = [], []
    with connect(owner=True) as owner:

        def wait() -> None:
            committed.append(position(owner, "insert"))
            if waits:
                wait_for_disk()

        monkeypatch.setattr(settlement, "wait_for_disk", wait)
        monkeypatch.setattr(results, "publish", lambda _: told.append(position(owner, "flush")))
        until = time.monotonic() + 120
        while len(told) < 5 or (not waits and all(map(operator.ge, told, committed)) and time.monotonic() < until):
            settle_a_job(version)
    assert all(map(operator.ge, told, committed)) is waits


def test_an_account_is_free_while_the_disk_is_waited_for(
    version: ModelVersion,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    spender = make_spender()
    job = queue_job(spender, version)
    queue.claim(version_id=version.id, img_size=640, limit=8, worker="w", lease=timedelta(hours=1), now=timezone.now())
    outcomes: list[str] = []

    def slow_disk() -> None:
        def call() -> None:
            with connect() as connection:
                connection.execute("SET lock_timeout = '20s'")
                outcomes.append(place(connection, spender.account, 100)[0])

        _beside(call)

    monkeypatch.setattr(settlement, "wait_for_disk", slow_disk)
    settlement.settle(outcomes=[Outcome(job.id, 1, [])], worker="w", now=timezone.now())
    assert outcomes == ["held"]
    assert_ledger_clean()


def _beside(call: Callable[[], None]) -> None:
    thread = threading.Thread(target=call)
    thread.start()
    thread.join()
