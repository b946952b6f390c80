"""Keeps jobs going while Redis is away, and just after: looks into PostgreSQL for what nobody can ring for.

A thread of each worker process. While Redis answers it does nothing else than ask it now and then.
"""

from __future__ import annotations

import threading
import time

import structlog
from django.db import DatabaseError, connection
from django.utils import timezone
from kombu.exceptions import OperationalError
from redis.exceptions import RedisError

from billing.services.redis import with_redis
from detection.services import doorbell, queue, spare_inputs
from workers.machine import Machine
from workers.runner import run_jobs, run_spare

log = structlog.get_logger(__name__)

# How often Redis is asked, and how often PostgreSQL when there is no Redis and nothing was found.
ASK_SECONDS = 1.0
LOOK_SECONDS = 0.2
# How often what the scheduler does is done here, for the scheduler waits for Redis too.
MAINTAIN_SECONDS = 2.0
# How long rings are answered here once Redis is back: Celery takes its time to connect again.
RECOVERY_SECONDS = 40.0


def start(machine: Machine) -> None:
    """Begin to stand by, until the machine is stopping."""
    threading.Thread(target=_stand_by, args=(machine,), name="standby", daemon=True).start()


def redis_is_away() -> bool:
    """Say whether Redis does not answer now, or did not a moment ago."""
    return with_redis(lambda client: client.ping()) is None


def _stand_by(machine: Machine) -> None:
    while not machine.stopping.wait(ASK_SECONDS):
        if redis_is_away():
            log.warning("standing_in_for_redis", worker=machine.id)
            _stand_in(machine)
            log.info("redis_is_back", worker=machine.id)
            _recover(machine)
    connection.close()


def _stand_in(machine: Machine) -> None:
    maintained = 0.0
    while redis_is_away() and not machine.stopping.is_set():
        try:
            if time.monotonic() - maintained > MAINTAIN_SECONDS:
                maintained = time.monotonic()
                _maintain()
            if not run_spare(machine):
                machine.stopping.wait(LOOK_SECONDS)
        except DatabaseError:
            log.warning("standing_in_failed", worker=machine.id, exc_info=True)
            connection.close()
            machine.stopping.wait(ASK_SECONDS)


def _recover(machine: Machine) -> None:
    until = time.monotonic() + RECOVERY_SECONDS
    try:
        queue.ring_for_waiting(now=timezone.now())
        while time.monotonic() < until and not machine.stopping.is_set():
            if kind := doorbell.listen(ASK_SECONDS):
                run_jobs(machine, *kind)
    except (RedisError, OperationalError, DatabaseError):
        log.warning("recovery_interrupted", worker=machine.id, exc_info=True)
        connection.close()


def _maintain() -> None:
    now = timezone.now()
    for step in (queue.requeue_lost, queue.fail_overdue):
        try:
            step(now=now)
        except RedisError:
            continue  # done, but nobody could be rung for
    spare_inputs.sweep()
