"""Takes a job back before a worker has it: the caller's wish, a caller who hung up, or a machine room that is away."""

from __future__ import annotations

import uuid
from typing import Any

import structlog
from django.utils import timezone
from redis.exceptions import RedisError

from billing.services import holds
from detection.enums import JobStatus
from detection.models import Job, WaitingInput
from detection.queries.jobs import find_job
from detection.services import answers, results
from tenants.actors import Actor
from tenants.api.problems import Problem
from tenants.scope import organization_scope
from tenants.services import audit

log = structlog.get_logger(__name__)


def cancel(
    organization_id: uuid.UUID, job_id: uuid.UUID, *, sub_token_id: uuid.UUID | None = None, actor: Actor | None = None
) -> dict[str, Any]:
    """Cancel a job that still waits, give its hold back and return its document.

    An `actor` is whoever cancels what a sub-token asked for, and stands in the audit log. With `sub_token_id`, other
    sub-tokens' jobs do not exist. Raises Problem: `not_found`, or `conflict` when the job has started or is over.
    Locks the job, then the accounts of its hold.
    """
    with organization_scope(organization_id):
        job = find_job(job_id, sub_token_id=sub_token_id)
    if withdraw(organization_id, job_id, status=JobStatus.CANCELLED):
        with organization_scope(organization_id):
            if actor is not None:
                audit.record(
                    organization_id=organization_id,
                    actor=actor,
                    action="call.cancelled",
                    target_kind="call",
                    target_id=job_id,
                    now=timezone.now(),
                )
            return answers.document(find_job(job_id))
    with organization_scope(organization_id):
        job.refresh_from_db(fields=["status"])
    detail = f"The job is {job.status}; only a job that waits or is queued can be cancelled."
    raise Problem("conflict", detail, state=job.status)


def withdraw(
    organization_id: uuid.UUID, job_id: uuid.UUID, *, status: JobStatus, error_code: str = "", detail: str = ""
) -> bool:
    """Finish a job that no worker has claimed, give its hold back and tell who waits; False if it was too late.

    Locks the job, then the accounts of its hold, then the sums of usage.
    """
    now = timezone.now()
    with organization_scope(organization_id):
        unclaimed = Job.objects.filter(id=job_id, status__in=[JobStatus.WAITING, JobStatus.QUEUED])
        job = unclaimed.select_for_update().first()
        if job is None:
            return False
        if job.status == JobStatus.WAITING:
            WaitingInput.objects.filter(id=job_id).delete()
        # Before the job is finished, which counts it: accounts are locked first, the sums of usage last.
        if job.hold_id:
            holds.release_holds(hold_ids=[job.hold_id], now=now)
        job.status, job.finished_at, job.error_code, job.error_detail = status, now, error_code, detail
        job.save(update_fields=["status", "finished_at", "error_code", "error_detail"])
        document = answers.document(job)
    try:
        results.publish([document])
    except RedisError:
        log.warning("withdrawal_not_published", job=str(job_id))
    return True
