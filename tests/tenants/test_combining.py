"""Calls that gather go together, in order and bounded; each gets its own answer, and nobody is left waiting."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tenants.combining import Combiner

PATIENCE_SECONDS = 60.0


class Desk:
    """Answers a call with itself and its turn's calls; each turn waits until the test lets it end."""

    def __init__(self) -> None:
        self.turns: list[tuple[str, list[str]]] = []
        self.begun, self.may_end = threading.Semaphore(0), threading.Semaphore(0)
        self.refuse = ""

    def together(self, key: str, calls: Sequence[str]) -> list[tuple[str, int]]:
        self.turns.append((key, list(calls)))
        self.begun.release()
        assert self.may_end.acquire(timeout=PATIENCE_SECONDS)
        if self.refuse in calls:
            raise ValueError(f"{self.refuse} among {len(calls)}")
        return [(call, len(calls)) for call in calls]


@pytest.fixture
def desk() -> Desk:
    return Desk()


@pytest.fixture
def pool():  # type: ignore[no-untyped-def]
    with ThreadPoolExecutor(32) as executor:
        yield executor


def gather(combine: Combiner[Any, Any, Any], key: object, count: int) -> None:
    """Return when so many calls wait for their turn."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while len(combine._gathered.get(key, ())) < count:
        assert time.monotonic() < deadline, "nobody gathers"
        time.sleep(0.001)


def test_a_lone_call_goes_at_once(desk: Desk) -> None:
    combine = Combiner(desk.together, most=4)
    for call in ("a", "b"):
        desk.may_end.release()
        assert combine("key", call) == (call, 1)
    assert desk.turns == [("key", ["a"]), ("key", ["b"])]
    assert combine._gathered == {}, "nothing is kept of who was here"


def test_what_gathers_goes_together_in_order_and_bounded(desk: Desk, pool: ThreadPoolExecutor) -> None:
    combine = Combiner(desk.together, most=3)
    first = pool.submit(combine, "key", "first")
    assert desk.begun.acquire(timeout=PATIENCE_SECONDS)
    others = []
    for number in range(5):
        others.append(pool.submit(combine, "key", str(number)))
        gather(combine, "key", number + 1)
    for _ in range(3):
        desk.may_end.release()
    assert first.result(PATIENCE_SECONDS) == ("first", 1)
    assert [other.result(PATIENCE_SECONDS) for other in others] == [("0", 3), ("1", 3), ("2", 3), ("3", 2), ("4", 2)]
    assert [calls for _, calls in desk.turns] == [["first"], ["0", "1", "2"], ["3", "4"]]
    assert combine._gathered == {}


def test_other_keys_do_not_wait(desk: Desk, pool: ThreadPoolExecutor) -> None:
    combine = Combiner(desk.together, most=3)
    calls = [pool.submit(combine, key, key) for key in ("one", "two")]
    assert desk.begun.acquire(timeout=PATIENCE_SECONDS)
    assert desk.begun.acquire(timeout=PATIENCE_SECONDS), "both are at work at the same time"
    desk.may_end.release(2)
    assert {call.result(PATIENCE_SECONDS) for call in calls} == {("one", 1), ("two", 1)}


def test_one_bad_call_spoils_no_other(desk: Desk, pool: ThreadPoolExecutor) -> None:
    combine = Combiner(desk.together, most=3)
    first = pool.submit(combine, "key", "first")
    assert desk.begun.acquire(timeout=PATIENCE_SECONDS)
    others = {}
    for number, call in enumerate(("good", "bad", "fine")):
        others[call] = pool.submit(combine, "key", call)
        gather(combine, "key", number + 1)
    desk.refuse = "bad"
    desk.may_end.release(5)
    assert first.result(PATIENCE_SECONDS) == ("first", 1)
    assert others["good"].result(PATIENCE_SECONDS) == ("good", 1)
    assert others["fine"].result(PATIENCE_SECONDS) == ("fine", 1)
    with pytest.raises(ValueError, match="bad among 1"):
        others["bad"].result(PATIENCE_SECONDS)
    assert desk.turns[1] == ("key", ["good", "bad", "fine"])
    assert sorted(calls for _, calls in desk.turns[2:]) == [["bad"], ["fine"], ["good"]]


def test_a_lone_call_that_fails_is_tried_once_and_bars_nobody(desk: Desk) -> None:
    combine = Combiner(desk.together, most=3)
    desk.refuse = "bad"
    desk.may_end.release(2)
    with pytest.raises(ValueError, match="bad among 1"):
        combine("key", "bad")
    assert combine("key", "good") == ("good", 1)
    assert len(desk.turns) == 2


def test_many_threads_each_get_their_own(pool: ThreadPoolExecutor) -> None:
    turns: list[int] = []
    busy = threading.Lock()

    def together(key: int, calls: Sequence[int]) -> list[int]:
        assert busy.acquire(blocking=False), "one turn at a time"
        turns.append(len(calls))
        if len(turns) == 1:
            # The first turn is as long as it takes until others wait for the next.
            gather(combine, key, 2)
        busy.release()
        return [call * 2 for call in calls]

    combine = Combiner(together, most=8)
    numbers = list(range(2000))
    assert list(pool.map(lambda number: combine(0, number), numbers)) == [number * 2 for number in numbers]
    assert sum(turns) == 2000
    assert 1 < max(turns) <= 8
    assert combine._gathered == {}
