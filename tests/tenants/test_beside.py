"""Work beside the scheduler: one run at a time, and nothing that was told during a run is forgotten."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from tenants import beside
from tenants.beside import Beside

PATIENCE_SECONDS = 60.0


@pytest.fixture(autouse=True)
def _not_stopping() -> Iterator[None]:
    beside.stopping.clear()
    yield
    beside.stopping.clear()


def test_runs_follow_each_other_and_never_overlap() -> None:
    running, runs, overlaps = threading.Semaphore(1), [], []
    begun, may_end = threading.Semaphore(0), threading.Semaphore(0)

    def work() -> None:
        if not running.acquire(blocking=False):
            overlaps.append(True)
        begun.release()
        assert may_end.acquire(timeout=PATIENCE_SECONDS)
        runs.append(threading.current_thread().name)
        running.release()

    probe = Beside("probe", work)
    probe.start()
    assert begun.acquire(timeout=PATIENCE_SECONDS)
    for _ in range(5):
        probe.start()
    may_end.release()
    assert begun.acquire(timeout=PATIENCE_SECONDS), "what was asked for meanwhile is one more run"
    may_end.release()
    probe.join(PATIENCE_SECONDS)
    assert (runs, overlaps) == (["probe", "probe"], [])


def test_a_run_that_fails_ends_no_other() -> None:
    runs: list[int] = []

    def work() -> None:
        runs.append(len(runs))
        if len(runs) == 1:
            raise ZeroDivisionError

    probe = Beside("probe", work)
    for _ in range(2):
        probe.start()
        probe.join(PATIENCE_SECONDS)
    assert runs == [0, 1]


def test_a_process_that_ends_begins_nothing() -> None:
    runs: list[int] = []
    beside.stopping.set()
    probe = Beside("probe", lambda: runs.append(1))
    probe.start()
    probe.join(PATIENCE_SECONDS)
    assert runs == []
