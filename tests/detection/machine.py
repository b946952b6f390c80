"""A worker for tests that is in the test's hands: the real queue and the real settlement, and predictions as told."""

from __future__ import annotations

import datetime as dt
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from django.db import connection
from django.utils import timezone

from detection.models import ModelVersion
from detection.services import blobs, liveness, queue, settlement
from detection.services.settlement import Outcome
from workers.decode import DecodeError, decode

FOUND = [{"class_id": 1, "class_name": "short", "confidence": 0.9, "bbox": [1.0, 2.0, 30.0, 40.0]}]
LEASE = dt.timedelta(seconds=30)
# How long something may take that must happen, on a machine that has much else to do.
PATIENCE_SECONDS = 60.0
# Whoever shows a sign of life lives on for longer than any test takes.
ALIVE_SECONDS = 600

Look = Callable[[bytes], list[dict[str, Any]]]


class Worker:
    """Claims jobs of one version at 640 px, decodes them for real, and answers with what `look` returns or raises."""

    def __init__(self, version: ModelVersion, look: Look) -> None:
        self.version, self.look, self.batches = version, look, []
        self.alive, self.started, self.stopping = threading.Event(), threading.Event(), threading.Event()
        self.thread = threading.Thread(target=self._run, daemon=True)

    def _run(self) -> None:
        try:
            while not self.stopping.is_set():
                liveness.report("test", {}, seconds=ALIVE_SECONDS)
                self.alive.set()
                claims = queue.claim(
                    version_id=self.version.id, img_size=640, limit=8, worker="test", lease=LEASE, now=timezone.now()
                )
                if claims:
                    self.started.set()
                    self.batches.append(len(claims))
                    outcomes = [self._outcome(claim) for claim in claims]
                    settlement.settle(outcomes=outcomes, worker="test", now=timezone.now())
                time.sleep(0.01)
        finally:
            connection.close()

    def _outcome(self, claim: queue.Claim) -> Outcome:
        # The row is committed before its input is stored.
        until(lambda: blobs.get_many([claim.job_id]) != [None], pause=0.005)
        (content,) = blobs.get_many([claim.job_id])
        try:
            image = decode(content)
            found = self.look(content)
        except DecodeError as error:
            return Outcome(claim.job_id, claim.attempt, error_code=error.code, error_detail=str(error))
        except RuntimeError:
            return Outcome(claim.job_id, claim.attempt, error_code="inference_failed", error_detail="It failed.")
        height, width = image.shape[:2]
        return Outcome(claim.job_id, claim.attempt, found, width, height, 1.0)


@contextmanager
def worker(version: ModelVersion, look: Look = lambda _: FOUND) -> Iterator[Worker]:
    """Keep a worker running."""
    running = Worker(version, look)
    running.thread.start()
    try:
        assert running.alive.wait(PATIENCE_SECONDS)
        yield running
    finally:
        running.stopping.set()
        running.thread.join(timeout=PATIENCE_SECONDS)
        assert not running.thread.is_alive(), "the worker does not stop"


def until(what: Callable[[], Any], *, pause: float = 0.05) -> None:
    """Wait until something is so."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not what():
        assert time.monotonic() < deadline, "it has not come about"
        time.sleep(pause)
