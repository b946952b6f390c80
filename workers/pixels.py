"""How many decoded pixels one worker process has in memory at once."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager


class PixelBudget:
    """A share of memory that batches take before they decode, and give back when they are done.

    A batch takes what it needs in one go, so two can never wait for each other; one that alone needs more than there
    is waits until it has everything.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._taken = 0
        self._changed = threading.Condition()

    @contextmanager
    def take(self, pixels: int) -> Iterator[None]:
        """Have so many pixels while inside; waits until there is room."""
        wanted = min(pixels, self.limit)
        with self._changed:
            self._changed.wait_for(lambda: self._taken + wanted <= self.limit)
            self._taken += wanted
        try:
            yield
        finally:
            with self._changed:
                self._taken -= wanted
                self._changed.notify_all()

    def parts(self, sizes: Sequence[int]) -> Iterator[slice]:
        """Cut a batch of images of these sizes (px) into the fewest runs that each fit; a larger image is alone."""
        begin, taken = 0, 0
        for place, size in enumerate(sizes):
            if place > begin and taken + size > self.limit:
                yield slice(begin, place)
                begin, taken = place, 0
            taken += size
        if begin < len(sizes):
            yield slice(begin, len(sizes))
