"""Work beside the scheduler, which does one task at a time and must not wait for a mail server or for a stranger's."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import structlog
from celery.signals import worker_shutdown, worker_shutting_down
from django.db import connections

log = structlog.get_logger(__name__)

# Set when the process is asked to end: work in progress finishes the item in its hands.
stopping = threading.Event()
PATIENCE_SECONDS = 15.0


class Beside:
    """Runs `work` in a thread of its own, one run at a time.

    The work is made of short transactions that may be repeated, so a process that dies leaves the rest to the next.
    """

    def __init__(self, name: str, work: Callable[[], Any]) -> None:
        self.name, self._work = name, work
        self._lock = threading.Lock()
        self._asked = False
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin a run. While one is going on, another follows it, so that it sees what this caller knows."""
        with self._lock:
            self._asked = True
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name=self.name, daemon=True)
                self._thread.start()
                _started.append(self)

    def join(self, timeout: float | None = None) -> None:
        """Wait until no run is going on."""
        thread = self._thread
        if thread is not None:
            thread.join(timeout)

    def _run(self) -> None:
        while self._wanted():
            try:
                self._work()
            except Exception:
                log.exception("work_beside_failed", work=self.name)
            finally:
                connections.close_all()

    def _wanted(self) -> bool:
        with self._lock:
            if self._asked and not stopping.is_set():
                self._asked = False
                return True
            self._thread = None
            _started.remove(self)
            return False


_started: list[Beside] = []


@worker_shutting_down.connect
def _ask_to_stop(**_: object) -> None:
    stopping.set()


@worker_shutdown.connect
def _wait_for_the_rest(**_: object) -> None:
    for work in tuple(_started):
        work.join(PATIENCE_SECONDS)
