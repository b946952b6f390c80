"""What staff do to one job or hold by hand, when the sweepers would come too late. Each is in the audit log."""

from __future__ import annotations

import uuid
from datetime import datetime

from django.db import transaction
from django.utils.translation import gettext as _

from billing.enums import HoldStatus, ResolveOutcome
from billing.models import Hold
from billing.services import holds
from detection.enums import FINISHED, JobStatus
from detection.errors import NotStuck
from detection.models import Job
from detection.services import doorbell
from detection.services.jobs import withdraw
from tenants.actors import Actor
from tenants.errors import NotFound
from tenants.scope import organization_scope
from tenants.services import audit

UNFINISHED = (JobStatus.QUEUED, JobStatus.RUNNING)


def why_not_requeued(job: Job) -> str:
    """Return to a person why a job cannot be put back as it is now; empty if it can."""
    if job.status == JobStatus.RUNNING:
        return ""
    return _("Only a running job can be put back; the status of this one: %(status)s.") % {
        "status": job.get_status_display()
    }


def why_not_cancelled(job: Job) -> str:
    """Return to a person why a job cannot be cancelled as it is now; empty if it can."""
    if job.status not in FINISHED:
        return ""
    return _("The job is over; its status: %(status)s.") % {"status": job.get_status_display()}


def why_not_released(hold: Hold, now: datetime) -> str:
    """Return to a person why a hold cannot be released as it is now; empty if it can. Needs its scope."""
    if hold.status != HoldStatus.HELD:
        return _("The hold was resolved already.")
    if hold.deadline > now and Job.objects.filter(id=hold.owner_id, status__in=UNFINISHED).exists():
        return _("Its job is not finished: cancel the job, which gives the hold back.")
    return ""


def requeue_job(*, organization_id: uuid.UUID, job_id: uuid.UUID, reason: str, actor: Actor, now: datetime) -> Job:
    """Take a running job from its worker and let it wait again; its hold stays, and it is charged at most once.

    A worker that still has it finds it taken when it settles. Opens its own scope; locks the job. Raises NotFound, and
    NotStuck for a job that does not run.
    """
    with organization_scope(organization_id):
        job = Job.objects.select_for_update().filter(id=job_id).first()
        if job is None:
            raise NotFound
        if why := why_not_requeued(job):
            raise NotStuck(why)
        worker = job.worker
        job.status, job.worker = JobStatus.QUEUED, ""
        job.claimed_at = job.started_at = job.lease_expires_at = job.queue_ms = None
        job.save(update_fields=["status", "worker", "claimed_at", "started_at", "lease_expires_at", "queue_ms"])
        _record(organization_id, actor, "job.requeued", "job", job_id, {"worker": worker}, reason, now)
        kind = (job.model_version_id, job.img_size, job.priority_class)
        transaction.on_commit(lambda: doorbell.ring(*kind), robust=True)
    return job


def cancel_job(*, organization_id: uuid.UUID, job_id: uuid.UUID, reason: str, actor: Actor, now: datetime) -> Job:
    """Cancel a job that waits or runs, and give its hold back; it costs nothing.

    Opens its own scopes; locks the job, then the accounts of its hold. Raises NotFound, and NotStuck for a job that is
    over or that a worker has just taken again.
    """
    with organization_scope(organization_id):
        job = Job.objects.filter(id=job_id).first()
    if job is None:
        raise NotFound
    if why := why_not_cancelled(job):
        raise NotStuck(why)
    if job.status == JobStatus.RUNNING:
        requeue_job(organization_id=organization_id, job_id=job_id, reason=reason, actor=actor, now=now)
    detail = "The platform's staff cancelled it."
    if not withdraw(organization_id, job_id, status=JobStatus.CANCELLED, detail=detail):
        raise NotStuck(_("The job is over, or a worker has just taken it. Look again."))
    with organization_scope(organization_id):
        _record(organization_id, actor, "job.cancelled", "job", job_id, {"held_mtok": job.held_mtok}, reason, now)
        job.refresh_from_db()
    return job


def release_hold(*, organization_id: uuid.UUID, hold_id: uuid.UUID, reason: str, actor: Actor, now: datetime) -> Hold:
    """Give back what a stuck hold sets aside: one whose job is over or never was, or whose deadline has passed.

    Opens its own scope; locks the hold's accounts. Raises NotFound, and NotStuck for a hold whose job is unfinished
    (cancel that instead) or that was resolved meanwhile.
    """
    with organization_scope(organization_id):
        hold = Hold.objects.filter(id=hold_id).first()
        if hold is None:
            raise NotFound
        if why := why_not_released(hold, now):
            raise NotStuck(why)
        outcome = holds.release_holds(hold_ids=[hold_id], now=now)[hold_id]
        if outcome != ResolveOutcome.RELEASED:
            raise NotStuck(_("The hold was resolved already."))
        _record(organization_id, actor, "hold.released", "hold", hold_id, {"mtok": hold.amount_mtok}, reason, now)
        hold.status = HoldStatus.RELEASED
    return hold


def _record(
    organization_id: uuid.UUID,
    actor: Actor,
    action: str,
    kind: str,
    target_id: uuid.UUID,
    facts: dict[str, object],
    reason: str,
    now: datetime,
) -> None:
    audit.record(
        organization_id=organization_id,
        actor=actor,
        action=action,
        target_kind=kind,
        target_id=target_id,
        after=facts,
        reason=reason,
        now=now,
    )
