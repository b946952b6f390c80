"""The queue of jobs: who works on what, and for how long.

A job row that is `queued` waits; a worker claims it, holds it by a lease that it renews, and settles it
(detection/services/settlement.py). A worker that dies renews nothing, and its jobs go back.
"""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import orjson
from django.conf import settings
from django.db import connection
from django.db.models import Q

from detection.enums import JobError, JobStatus
from detection.models import Job
from detection.services import doorbell, settlement
from tenants.scope import platform_scope

# A queued job that nobody has claimed for this long gets another doorbell, in case the first was lost.
UNHEARD_SECONDS = 2.0
SWEEP_LIMIT = 500
# How far the clocks of the machines that take jobs in, and of those that claim them, may be apart.
CLOCKS_APART = dt.timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Claim:
    """A job in a worker's hands. `attempt` tells this claim from any other of the same job."""

    job_id: uuid.UUID
    attempt: int
    parameters: dict[str, Any]


def claim(
    *, version_id: uuid.UUID, img_size: int, limit: int, worker: str, lease: dt.timedelta, now: dt.datetime
) -> list[Claim]:
    """Take up to `limit` waiting jobs of one model version and size, in fair-share order.

    Locks the jobs it takes, skipping those that another worker is taking, and then the clocks of their classes.
    Needs no platform scope: detection_claim opens one for itself.
    """
    longest = dt.timedelta(seconds=settings.WAITING_SECONDS + settings.JOB_LIFE_SECONDS)
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT job_id, attempt, parameters FROM detection_claim(%s, %s, %s, %s, %s, %s, %s)",
            [version_id, img_size, limit, worker, now + lease, now - longest - CLOCKS_APART, now],
        )
        return [Claim(job_id, attempt, _json(parameters)) for job_id, attempt, parameters in cursor.fetchall()]


def claim_spare(
    *, version_id: uuid.UUID, img_size: int, limit: int, worker: str, lease: dt.timedelta, now: dt.datetime
) -> list[Claim]:
    """As `claim`, but only jobs whose images lie in PostgreSQL (services/spare_inputs.py), for while Redis is away.

    Locks the jobs it takes, skipping those that another worker is taking. Leaves the clock of fair share: the next
    claim moves it.
    """
    with platform_scope("claim jobs with spare inputs"), connection.cursor() as cursor:
        cursor.execute("SET LOCAL synchronous_commit = off")
        cursor.execute(
            "WITH spare AS MATERIALIZED (SELECT id FROM detection_spareinput ORDER BY id LIMIT 1000),"
            " waiting AS MATERIALIZED ("
            "  SELECT job.id FROM detection_job AS job JOIN spare ON spare.id = job.id"
            "  WHERE job.status = 'queued' AND job.model_version_id = %s AND job.img_size = %s"
            "  ORDER BY job.priority_class, job.virtual_finish, job.id LIMIT %s FOR UPDATE OF job SKIP LOCKED)"
            " UPDATE detection_job AS job SET status = 'running', worker = %s, attempts = attempts + 1,"
            "     claimed_at = %s, started_at = %s, lease_expires_at = %s,"
            "     queue_ms = GREATEST(0, extract(epoch FROM %s - created_at) * 1000)"
            " FROM waiting WHERE job.id = waiting.id RETURNING job.id, job.attempts, job.parameters",
            [version_id, img_size, limit, worker, now, now, now + lease, now],
        )
        return [Claim(job_id, attempt, _json(parameters)) for job_id, attempt, parameters in cursor.fetchall()]


def give_back(*, claims: Sequence[Claim], worker: str) -> int:
    """Put claimed jobs back that were never started, as if they had not been claimed; return how many were."""
    with platform_scope("give jobs back"), connection.cursor() as cursor:
        cursor.execute(
            "UPDATE detection_job AS job"
            " SET status = 'queued', worker = '', attempts = attempts - 1, claimed_at = NULL, started_at = NULL,"
            "     lease_expires_at = NULL, queue_ms = NULL"
            " FROM unnest(%s::uuid[], %s::int[]) AS mine (id, attempt)"
            " WHERE job.id = mine.id AND job.attempts = mine.attempt AND job.worker = %s AND job.status = 'running'",
            [[claim.job_id for claim in claims], [claim.attempt for claim in claims], worker],
        )
        return cursor.rowcount


def renew_leases(*, claims: Sequence[Claim], worker: str, lease: dt.timedelta, now: dt.datetime) -> int:
    """Hold on to claims that are still in a living worker's hands; return how many.

    Not to those that run longer than any job may, nor to any that the worker does not name: what it forgot on the way,
    or was never told that it has, must go to another.
    """
    if not claims:
        return 0
    with platform_scope("renew leases"), connection.cursor() as cursor:
        cursor.execute("SET LOCAL synchronous_commit = off")
        cursor.execute(
            "UPDATE detection_job AS job SET lease_expires_at = %s"
            " FROM unnest(%s::uuid[], %s::int[]) AS mine (id, attempt)"
            " WHERE job.id = mine.id AND job.attempts = mine.attempt AND job.status = 'running' AND job.worker = %s"
            " AND job.claimed_at > %s",
            [
                now + lease,
                [claim.job_id for claim in claims],
                [claim.attempt for claim in claims],
                worker,
                now - dt.timedelta(seconds=settings.JOB_RUN_SECONDS),
            ],
        )
        return cursor.rowcount


def requeue_lost(*, now: dt.datetime) -> int:
    """Take jobs from workers that no longer renew their leases; return how many.

    They wait again, and after the last attempt they fail, give their holds back and cost nothing. Skips jobs that are
    locked: whoever has them is about to settle them.
    """
    with platform_scope("requeue lost jobs"):
        lost = list(
            Job.objects.select_for_update(skip_locked=True)
            .filter(status=JobStatus.RUNNING, lease_expires_at__lt=now)
            .order_by("lease_expires_at")[:SWEEP_LIMIT]
        )
        again = [job for job in lost if job.attempts < settings.JOB_ATTEMPTS]
        Job.objects.filter(id__in=[job.id for job in again]).update(
            status=JobStatus.QUEUED, worker="", claimed_at=None, started_at=None, lease_expires_at=None, queue_ms=None
        )
        documents = settlement.fail(
            [job for job in lost if job.attempts >= settings.JOB_ATTEMPTS],
            code=JobError.WORKER_LOST,
            detail=f"The workers that ran it were lost {settings.JOB_ATTEMPTS} times.",
            now=now,
        )
    settlement.hand_over(documents)
    _ring_for({(job.model_version_id, job.img_size, job.priority_class) for job in again})
    return len(lost)


def fail_overdue(*, now: dt.datetime) -> int:
    """Fail jobs that waited for a worker longer than a job may live; return how many. They cost nothing."""
    born = now - dt.timedelta(seconds=settings.JOB_LIFE_SECONDS)
    with platform_scope("fail overdue jobs"):
        overdue = list(
            Job.objects.select_for_update(skip_locked=True)
            .filter(status=JobStatus.QUEUED, created_at__lt=born)
            .filter(Q(admitted_at=None) | Q(admitted_at__lt=born))
            .order_by("created_at")[:SWEEP_LIMIT]
        )
        documents = settlement.fail(
            overdue, code=JobError.TIMED_OUT, detail="No worker was free for it in its time.", now=now
        )
    settlement.hand_over(documents)
    return len(overdue)


def ring_for_waiting(*, now: dt.datetime) -> int:
    """Ring again for jobs that nobody seems to have heard of; return how many kinds of job that were."""
    with platform_scope("ring for waiting jobs"):
        waiting = set(
            Job.objects.filter(
                status=JobStatus.QUEUED, created_at__lt=now - dt.timedelta(seconds=UNHEARD_SECONDS)
            ).values_list("model_version_id", "img_size", "priority_class")
        )
    _ring_for(waiting)
    return len(waiting)


def _ring_for(kinds: set[tuple[uuid.UUID, int, int]]) -> None:
    for version_id, img_size, priority_class in sorted(kinds, key=lambda kind: kind[2]):
        doorbell.ring(version_id, img_size, priority_class)


def _json(value: Any) -> dict[str, Any]:
    return orjson.loads(value) if isinstance(value, str) else value
