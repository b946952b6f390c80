"""The memory that decoded images may take in one worker process."""

from __future__ import annotations

import threading

import pytest

from workers.pixels import PixelBudget


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


def test_never_more_than_the_limit_at_once_and_nobody_waits_for_ever() -> None:
    budget, lock = PixelBudget(100), threading.Lock()
    inside, most, done = 0, 0, 0

    def work(pixels: int) -> None:
        nonlocal inside, most, done
        for _ in range(50):
            with budget.take(pixels):
                with lock:
                    inside += min(pixels, 100)
                    most = max(most, inside)
                with lock:
                    inside -= min(pixels, 100)
            with lock:
                done += 1

    threads = [threading.Thread(target=work, args=[pixels]) for pixels in (30, 60, 100, 5000, 1, 45)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=30)
    assert not any(thread.is_alive() for thread in threads)
    assert done == 300
    assert 0 < most <= 100


def test_what_was_taken_goes_back_when_the_work_fails() -> None:
    budget = PixelBudget(10)
    with pytest.raises(RuntimeError), budget.take(10):
        raise RuntimeError
    with budget.take(10):
        pass
