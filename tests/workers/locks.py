"""A lock that tells who waits for it, so that a test can go on when they do."""

from __future__ import annotations

import threading


class WatchedLock:
    """`wanted` is released once for each who finds it taken."""

    def __init__(self) -> None:
        self.wanted = threading.Semaphore(0)
        self._lock = threading.Lock()

    def __enter__(self) -> None:
        if not self._lock.acquire(blocking=False):
            self.wanted.release()
            self._lock.acquire()

    def __exit__(self, *_: object) -> None:
        self._lock.release()
