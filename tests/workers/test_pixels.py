"""The memory that decoded images may take in one worker process."""

from __future__ import annotations

import threading

import pytest

from tests.chaos.conftest import wait_for
from workers.pixels import PixelBudget

SECONDS = 60


@pytest.mark.parametrize(
    ("sizes", "parts"),
    [
        ([], []),
        ([40], [[40]]),
        ([40, 40, 20], [[40, 40, 20]]),
        ([40, 40, 40], [[40, 40], [40]]),
        ([500], [[500]]),
        ([10, 500, 10, 90], [[10], [500], [10, 90]]),
        ([100, 100, 100], [[100], [100], [100]]),
    ],
)
def test_a_batch_is_cut_where_it_no_longer_fits(sizes: list[int], parts: list[list[int]]) -> None:
    assert [sizes[part] for part in PixelBudget(100).parts(sizes)] == parts


def test_who_does_not_fit_waits_until_there_is_room_and_nobody_for_ever() -> None:
    budget, changed = PixelBudget(100), threading.Condition()
    inside: list[int] = []
    most, done = 0, 0
    leave = {pixels: threading.Event() for pixels in (60, 30, 45, 100, 5000)}

    def work(pixels: int) -> None:
        nonlocal most, done
        with budget.take(pixels):
            with changed:
                inside.append(pixels)
                most = max(most, sum(min(taken, 100) for taken in inside))
                changed.notify_all()
            assert leave[pixels].wait(SECONDS)
            with changed:
                inside.remove(pixels)
        with changed:
            done += 1

    def start(*sizes: int) -> list[threading.Thread]:
        threads = [threading.Thread(target=work, args=[pixels]) for pixels in sizes]
        for thread in threads:
            thread.start()
        return threads

    threads = start(60, 30)
    try:
        with changed:
            assert changed.wait_for(lambda: len(inside) == 2, SECONDS), "what fits together is there together"
        threads += start(45, 100, 5000)
        waiting = budget._changed._waiters  # type: ignore[attr-defined]
        wait_for(lambda: len(waiting) == 3 or len(inside) > 2, seconds=SECONDS)
        assert sorted(inside) == [30, 60]
    finally:
        for event in leave.values():
            event.set()
        for thread in threads:
            thread.join(SECONDS)
    assert done == 5
    assert most == 100


def test_what_was_taken_goes_back_when_the_work_fails() -> None:
    budget = PixelBudget(10)
    with pytest.raises(RuntimeError), budget.take(10):
        raise RuntimeError
    with budget.take(10):
        pass
