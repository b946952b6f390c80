"""One worker process: its name, its models, its hold on the jobs in its hands, and how it says that it lives."""

from __future__ import annotations

import datetime as dt
import gc
import math
import os
import secrets
import socket
import threading
import uuid
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import lru_cache

import cv2
import structlog
from django.conf import settings
from django.db import DatabaseError, connection
from django.utils import timezone
from redis.exceptions import RedisError

from detection.models import Model
from detection.services import liveness, queue
from detection.services.queue import Claim
from workers.engines.base import EngineError
from workers.pixels import PixelBudget
from workers.pool import ModelPool

log = structlog.get_logger(__name__)

# A lease is renewed, and a sign of life given, so often before the lease is over; so many signs may fail to come before
# a worker is taken for dead.
BEATS_PER_LEASE = 3
MISSED_BEATS = 5


class Machine:
    """What all batches of this process share."""

    def __init__(self) -> None:
        # No two processes ever have the same name, so a lease tells for sure who has a job.
        self.id = f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(4)}"
        self.models = ModelPool(settings.MODEL_MEMORY_BYTES)
        self.decoders = ThreadPoolExecutor(settings.CPUS, thread_name_prefix="decode")
        self.lease = dt.timedelta(seconds=settings.JOB_LEASE_SECONDS)
        self.beat_seconds = settings.JOB_LEASE_SECONDS / BEATS_PER_LEASE
        self.pixels = PixelBudget(settings.WORKER_PIXELS)
        self.stopping = threading.Event()
        self._in_hand: dict[tuple[uuid.UUID, int], Claim] = {}
        self._in_hand_lock = threading.Lock()
        self._warm = threading.Event()
        self._stopped = threading.Event()
        self._voice = threading.Lock()
        # Images of a batch are decoded side by side; OpenCV's own threads would only get in their way.
        cv2.setNumThreads(1)

    def start(self) -> None:
        """Begin to renew leases and to report that this worker lives, and load the models that are to be warm."""
        threading.Thread(target=self._beat, name="heartbeat", daemon=True).start()
        threading.Thread(target=self._warm_up, name="warm-up", daemon=True).start()

    def stop(self) -> None:
        """Stop the heartbeat. Jobs still in hand go back when their leases run out."""
        self.decoders.shutdown(wait=False)
        # Nobody may say that it lives after it has signed off.
        with self._voice:
            self._stopped.set()
            try:
                liveness.sign_off(self.id)
            except RedisError:
                log.warning("worker_not_signed_off", worker=self.id)

    def _say_alive(self) -> None:
        with self._voice:
            if not self._stopped.is_set():
                liveness.report(self.id, self._report(), seconds=math.ceil(MISSED_BEATS * self.beat_seconds))

    @contextmanager
    def in_hand(self, claims: Sequence[Claim]) -> Iterator[None]:
        """Have the leases of these claims renewed for as long as this lasts.

        However it ends, and whether or not the database could be told: what is no longer here goes to another worker.
        """
        mine = {(claim.job_id, claim.attempt): claim for claim in claims}
        with self._in_hand_lock:
            self._in_hand |= mine
        try:
            yield
        finally:
            with self._in_hand_lock:
                for key in mine:
                    self._in_hand.pop(key, None)

    def claims(self) -> list[Claim]:
        """Return what is in this process's hands."""
        with self._in_hand_lock:
            return list(self._in_hand.values())

    def _beat(self) -> None:
        while True:
            # Each by itself, and the leases first: they are in the database, and Redis that is away or hangs must not
            # cost the jobs in hand.
            try:
                queue.renew_leases(claims=self.claims(), worker=self.id, lease=self.lease, now=timezone.now())
            except DatabaseError:
                # The next beat tries again; if none gets through, the jobs rightly go to others.
                log.warning("leases_not_renewed", worker=self.id, exc_info=True)
                connection.close()
            try:
                self._say_alive()
            except RedisError:
                log.warning("heartbeat_failed", worker=self.id, exc_info=True)
            if self._stopped.wait(self.beat_seconds):
                connection.close()
                return

    def _report(self) -> dict[str, object]:
        return {
            "models": self.models.names(),
            "batch_size": settings.INFERENCE_BATCH_SIZE,
            "threads": settings.WORKER_THREADS,
            "stopping": self.stopping.is_set(),
            "warm": self._warm.is_set(),
        }

    def _warm_up(self) -> None:
        try:
            for model in Model.objects.filter(name__in=settings.WARM_MODELS).prefetch_related("versions"):
                for version in model.versions.all():
                    if version.installed and not self.stopping.is_set():
                        self.models.get(version.id, version.default_img_size)
            # What is loaded by now stays: looking through it for garbage would stop all batches for a while.
            gc.collect()
            gc.freeze()
            self._warm.set()
            # Whoever waits for a model need not wait for the next beat.
            self._say_alive()
        except (EngineError, DatabaseError, RedisError):
            log.warning("warm_up_failed", exc_info=True)
        finally:
            connection.close()


@lru_cache(maxsize=1)
def machine() -> Machine:
    """Return this process's machine, made on the first call."""
    return Machine()
