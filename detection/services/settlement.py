"""The end of jobs: Tokens captured or given back, the row finished and the waiting caller told.

A whole batch settles in one transaction. A job that is no longer in the hands of the claim that ran it (requeued after
a lost lease, cancelled, settled already) is left alone, so nothing is ever charged twice.
"""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import orjson
import structlog
from django.db import connection
from redis.exceptions import RedisError

from billing.enums import ResolveOutcome
from billing.services import holds
from detection.enums import JobError, JobStatus
from detection.models import Job
from detection.queries import catalogue
from detection.services import answers, blobs, results
from tenants.identifiers import new_id
from tenants.scope import platform_scope

log = structlog.get_logger(__name__)

Document = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one claimed job: `predictions`, or the `error_code` why there are none.

    `width` and `height` (px) are the picture's as decoded; `inference_ms` is the time its batch spent in the engine.
    """

    job_id: uuid.UUID
    attempt: int
    predictions: list[dict[str, Any]] | None = None
    width: int | None = None
    height: int | None = None
    inference_ms: float | None = None
    error_code: str = ""
    error_detail: str = ""


def settle(*, outcomes: Sequence[Outcome], worker: str, now: dt.datetime) -> list[Document]:
    """Finish a batch in one transaction and publish it; return the documents of the jobs that were still ours.

    A success is charged its price, a failure nothing. Locks the jobs in order of id, then their accounts.
    """
    by_id = {outcome.job_id: outcome for outcome in outcomes}
    with platform_scope("settle jobs"):
        rows = Job.objects.raw("SELECT * FROM detection_lock_running(%s::uuid[], %s)", [list(by_id), worker])
        jobs = [job for job in rows if job.attempts == by_id[job.id].attempt]
        for job in jobs:
            outcome = by_id[job.id]
            job.inference_ms = outcome.inference_ms
            job.image_width = outcome.width or job.image_width
            job.image_height = outcome.height or job.image_height
            job.error_code, job.error_detail = outcome.error_code, outcome.error_detail
            job.result = outcome.predictions
        documents = _finish(jobs, now)
    hand_over(documents)
    return documents


def fail(jobs: Sequence[Job], *, code: JobError, detail: str, now: dt.datetime) -> list[Document]:
    """Fail jobs that the caller has locked in a platform scope, and give their holds back.

    Returns what to `hand_over` once that transaction is committed. Locks their accounts.
    """
    for job in jobs:
        job.error_code, job.error_detail, job.result = code, detail, None
    return _finish(jobs, now)


def hand_over(documents: Sequence[Document]) -> None:
    """Tell those who wait for finished jobs, and drop the inputs. Redis away is no harm: the rows say the same."""
    if not documents:
        return
    try:
        results.publish(documents)
        blobs.delete([uuid.UUID(document["id"]) for document in documents])
    except RedisError:
        log.warning("results_not_published", jobs=[document["id"] for document in documents], exc_info=True)


def _finish(jobs: Sequence[Job], now: dt.datetime) -> list[Document]:
    if not jobs:
        return []
    given_back = [job.hold_id for job in jobs if job.error_code and job.hold_id]
    if given_back and len(given_back) < len(jobs):
        holds.lock_for_resolving(hold_ids=[job.hold_id for job in jobs if job.hold_id])
    remaining = _capture([job for job in jobs if not job.error_code], now)
    if given_back:
        holds.release_holds(hold_ids=given_back, now=now)
    for job in jobs:
        job.status = JobStatus.FAILED if job.error_code else JobStatus.SUCCEEDED
        job.finished_at, job.lease_expires_at = now, None
        job.prediction_count = None if job.result is None else len(job.result)
        job.total_ms = max(0.0, (now - job.created_at).total_seconds() * 1000)
    _write(jobs)
    return [
        answers.job_document(job, model_name=name, version=version, remaining_mtok=remaining.get(job.id))
        for job in jobs
        for name, version in [catalogue.names_of(job.model_version_id)]
    ]


def _capture(jobs: Iterable[Job], now: dt.datetime) -> dict[uuid.UUID, int]:
    """Charge jobs that succeeded; one whose hold ran out meanwhile fails instead. Returns what is left, by job id."""
    held = {job.hold_id: job for job in jobs if job.hold_id}
    captures = [
        holds.Capture(hold_id=hold_id, mtok=job.price_mtok, transfer_id=new_id()) for hold_id, job in held.items()
    ]
    remaining = {}
    for hold_id, result in (holds.capture_holds(captures=captures, now=now) if captures else {}).items():
        job = held[hold_id]
        if result.outcome in {ResolveOutcome.CAPTURED, ResolveOutcome.ALREADY_CAPTURED}:
            job.charged_mtok = result.captured_mtok
            remaining[job.id] = result.available_mtok
        else:
            log.warning("hold_not_captured", job=str(job.id), outcome=result.outcome)
            job.result = None
            job.error_code, job.error_detail = JobError.TIMED_OUT, "Its Tokens were no longer held when it was done."
    return remaining


_COLUMNS = (
    "status",
    "charged_mtok",
    "inference_ms",
    "total_ms",
    "image_width",
    "image_height",
    "error_code",
    "error_detail",
    "result",
    "prediction_count",
    "finished_at",
    "lease_expires_at",
)


def _write(jobs: Iterable[Job]) -> None:
    rows = [{"id": job.id, **{name: getattr(job, name) for name in _COLUMNS}} for job in jobs]
    with connection.cursor() as cursor:
        cursor.execute("SELECT detection_finish(%s)", [orjson.dumps(rows).decode()])
