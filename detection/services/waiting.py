"""Waits for a job on behalf of a caller who is on the line."""

from __future__ import annotations

import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Lock
from typing import Any

import structlog
from django.conf import settings
from redis.exceptions import RedisError

from detection.enums import FINISHED, JobError, JobStatus
from detection.queries.jobs import find_job
from detection.services import answers, jobs, liveness, results
from tenants.api.problems import Problem
from tenants.scope import organization_scope

log = structlog.get_logger(__name__)

# How often the caller's connection and, more seldom, the job's row are looked at.
LOOK_SECONDS = 0.5
ROW_SECONDS = 2.0
# A worker that restarts gets this long before a call is told that there is none.
GRACE_SECONDS = 3.0
LOST_RETRY_SECONDS = "1"

_seated: Counter[uuid.UUID] = Counter()
_seats_lock = Lock()


def wait(
    organization_id: uuid.UUID,
    job_id: uuid.UUID,
    *,
    seconds: float,
    hung_up: Callable[[], bool] = lambda: False,
    listen: bool = True,
) -> dict[str, Any]:
    """Return a job's document as soon as it is finished, or as it is after `seconds`.

    A caller who hangs up before the job starts takes it back. When no worker has shown a sign of life for GRACE_SECONDS
    and the job still waits, it fails with `no_capacity`: who is on the line is better told so than kept waiting. (A job
    whose caller does not wait stays in the queue for its whole life.) With `listen=False` only the row is watched:
    somebody else takes the message.

    An organization may keep WAITING_CALLS_PER_ORGANIZATION callers of this process on the line; the next one is
    answered with the job as it is, so that nobody's burst takes all the threads that answer everybody.

    Raises Problem `no_capacity` for a job whose row is gone.
    """
    with _seat(organization_id) as seated:
        if not seated:
            return _row(organization_id, job_id)
        return _wait(organization_id, job_id, seconds, hung_up, listen)


def _wait(
    organization_id: uuid.UUID, job_id: uuid.UUID, seconds: float, hung_up: Callable[[], bool], listen: bool
) -> dict[str, Any]:
    began = time.monotonic()
    looked = began
    while True:
        now = time.monotonic()
        left = began + seconds - now
        if left <= 0:
            return _row(organization_id, job_id)
        document, heard = _listen(job_id, min(left, LOOK_SECONDS), listen)
        if document:
            return document
        if hung_up():
            jobs.withdraw(organization_id, job_id, status=JobStatus.CANCELLED)
            return _row(organization_id, job_id)
        if not heard or time.monotonic() - looked >= ROW_SECONDS:
            looked = time.monotonic()
            document = _row(organization_id, job_id)
            if document["status"] in FINISHED:
                return document
            if document["status"] == JobStatus.QUEUED and looked - began >= GRACE_SECONDS and not _a_worker_lives():
                jobs.withdraw(
                    organization_id,
                    job_id,
                    status=JobStatus.FAILED,
                    error_code=JobError.NO_CAPACITY,
                    detail="No worker is running.",
                )
                return _row(organization_id, job_id)


@contextmanager
def _seat(organization_id: uuid.UUID) -> Iterator[bool]:
    """Take one of the organization's places among this process's waiting callers; False if it has none left."""
    most = settings.WAITING_CALLS_PER_ORGANIZATION
    with _seats_lock:
        seated = not most or _seated[organization_id] < most
        _seated[organization_id] += seated
    try:
        yield seated
    finally:
        with _seats_lock:
            _seated[organization_id] -= seated
            if not _seated[organization_id]:
                del _seated[organization_id]


def _listen(job_id: uuid.UUID, seconds: float, listen: bool) -> tuple[dict[str, Any] | None, bool]:
    """Return a job's document if it comes within so many seconds, and whether it would have been heard."""
    if listen:
        try:
            return results.wait(job_id, seconds), True
        except RedisError as error:
            log.warning("results_away", error=str(error))
    time.sleep(min(seconds, LOOK_SECONDS / 2))
    return None, False


def _row(organization_id: uuid.UUID, job_id: uuid.UUID) -> dict[str, Any]:
    try:
        with organization_scope(organization_id):
            return answers.document(find_job(job_id))
    except Problem as problem:
        if problem.code != "not_found":
            raise
        # Admitted without waiting for the disk, and lost with its hold when the database crashed.
        raise Problem(
            "no_capacity",
            "The job was lost before it could run; nothing was charged.",
            headers={"Retry-After": LOST_RETRY_SECONDS},
        ) from None


def _a_worker_lives() -> bool:
    """Say whether any worker's sign of life is there; True when Redis cannot tell."""
    try:
        return bool(liveness.living())
    except RedisError:
        return True
