"""The end of jobs: Tokens captured or given back, the row finished and the waiting caller told.

A whole batch settles in one transaction. A job that is no longer in the hands of the claim that ran it (requeued after
a lost lease, cancelled, settled already) is left alone, so nothing is ever charged twice.
"""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import orjson
import structlog
from django.db import connection
from redis.exceptions import RedisError

from detection.enums import JobError
from detection.models import Job
from detection.queries import catalogue
from detection.services import answers, results
from tenants.durable import wait_for_disk
from tenants.identifiers import new_id

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
    """Finish a batch in one statement and publish it; return the documents of the jobs that were still ours.

    A success is charged its price, a failure nothing. Locks the jobs in order of id, then their accounts, then the sums
    of usage, and frees them before it waits for the disk. Needs no platform scope: detection_settle opens one itself.
    """
    with connection.cursor() as cursor:
        cursor.execute("SELECT * FROM detection_settle(%s, %s, %s)", [worker, _json(outcomes), now])
        documents = _documents(cursor, outcomes)
    if documents:
        wait_for_disk()
    hand_over(documents)
    return documents


def fail(jobs: Sequence[Job], *, code: JobError, detail: str, now: dt.datetime) -> list[Document]:
    """Fail jobs that the caller has locked in a platform scope, and give their holds back.

    Returns what to `hand_over` once that transaction is committed. Locks their accounts, then the sums of usage.
    """
    if not jobs:
        return []
    outcomes = [Outcome(job.id, job.attempts, error_code=code, error_detail=detail) for job in jobs]
    with connection.cursor() as cursor:
        cursor.execute("SELECT * FROM detection_finish(%s, %s)", [_json(outcomes), now])
        return _documents(cursor, outcomes)


def hand_over(documents: Sequence[Document]) -> None:
    """Tell those who wait for finished jobs, and drop the inputs. Redis away is no harm: the rows say the same."""
    if not documents:
        return
    try:
        results.publish(documents)
    except RedisError:
        log.warning("results_not_published", jobs=[document["id"] for document in documents], exc_info=True)


def _json(outcomes: Sequence[Outcome]) -> str:
    return orjson.dumps(
        [
            {
                "job_id": outcome.job_id,
                "attempt": outcome.attempt,
                "result": outcome.predictions,
                "width": outcome.width,
                "height": outcome.height,
                "inference_ms": outcome.inference_ms,
                "error_code": outcome.error_code,
                "error_detail": outcome.error_detail,
                "transfer_id": new_id(),
            }
            for outcome in outcomes
        ]
    ).decode()


def _documents(cursor: Any, outcomes: Sequence[Outcome]) -> list[Document]:
    names = [column.name for column in cursor.description]
    results_of = {outcome.job_id: outcome.predictions for outcome in outcomes}
    documents = []
    for row in cursor.fetchall():
        values = dict(zip(names, row, strict=True))
        remaining = values.pop("remaining_mtok")
        job = Job(
            organization_id=values.pop("org_id"),
            parameters=orjson.loads(values.pop("parameters")),
            tags=orjson.loads(values.pop("tags")),
            result=results_of[values["id"]],
            **values,
        )
        if job.error_code == JobError.TIMED_OUT and job.result is not None:
            log.warning("hold_not_captured", job=str(job.id))
        name, version = catalogue.names_of(job.model_version_id)
        documents.append(answers.job_document(job, model_name=name, version=version, remaining_mtok=remaining))
    return documents
