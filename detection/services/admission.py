"""Takes a job in: limits, hold, place in the queue and the row, in one statement and one round trip."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Sequence
from dataclasses import dataclass

import orjson
from django.conf import settings
from django.db import connection

from billing.enums import HoldOutcome, OnExhausted
from billing.queries.credentials import Credential
from billing.services.exhaustion import note_refusal
from detection.enums import JobStatus
from detection.models import Job
from detection.services.refusals import refusal
from tenants.api.problems import Problem
from tenants.combining import Combiner

_ANSWER = "SELECT outcome, available_mtok, job_id, refusal"
_ADMIT = f"{_ANSWER} FROM detection_admit(%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)"
_ADMIT_TOGETHER = f"{_ANSWER} FROM detection_admit_together(%s, %s)"
# The longer the batch, the longer its accounts are locked; from here on a call costs no less in company.
_MOST_TOGETHER = 16

# For these a sub-token's policy may let the job wait.
_PASSING = {
    HoldOutcome.INSUFFICIENT_TOKENS,
    HoldOutcome.QUOTA_EXCEEDED,
    HoldOutcome.HOURLY_LIMIT_EXCEEDED,
    HoldOutcome.DEBT_OUTSTANDING,
}


@dataclass(frozen=True, slots=True)
class Admission:
    """`job_id` is the new job, or, when `replayed`, the one that the same idempotency key made earlier.

    `available_mtok` is what the sub-token can spend after the hold; None for a replay. With `must_wait` nothing was
    taken in: the sub-token's policy lets such a job wait, behind others (None) or for what `refused` says.
    """

    job_id: uuid.UUID
    available_mtok: int | None
    replayed: bool = False
    must_wait: bool = False
    refused: Problem | None = None


def admit(credential: Credential, job: Job) -> Admission:
    """Hold a queued job's price and put it into the queue, or log a job that comes finished (a cached answer).

    `job` is not saved; its `wait` says whether the caller is on the line. Locks the idempotency key, the accounts on
    the way to the one that pays, the limits that bind them, and the organization's fair-share clock, all until the
    statement's own commit.

    Raises Problem: insufficient_tokens, quota_exceeded, hourly_limit_exceeded, debt_outstanding, revoked_token,
    suspended_token, expired_token, idempotency_mismatch.
    """
    if connection.atomic_blocks and not connection.atomic_blocks[-1]._from_testcase:  # type: ignore[attr-defined]
        raise RuntimeError("A job admitted inside a transaction would be unseen by the worker that it waits for.")
    outcome, available_mtok, job_id, refused = _take_in(credential, job)
    if outcome in ("admitted", "replay"):
        return Admission(job_id or job.id, available_mtok, replayed=outcome == "replay")
    if outcome == HoldOutcome.DUPLICATE:
        # A hold goes by its job's id: this very job was taken in, and the answer that said so was lost on the way.
        return Admission(job.id, available_mtok)
    if outcome == "must_wait":
        return Admission(job.id, None, must_wait=True)
    said = orjson.loads(refused) if refused else None
    problem = refusal(
        outcome,
        said,
        credential=credential,
        price_mtok=job.price_mtok,
        available_mtok=available_mtok or 0,
        now=job.created_at,
    )
    if said:
        note_refusal(
            organization_id=credential.organization_id,
            account_id=uuid.UUID(said["account"]),
            limit=said["limit"],
            by_plan=bool(said.get("plan")),
            now=job.created_at,
        )
    # What costs more than a limit ever allows would wait for nothing.
    fits = said is not None and job.price_mtok <= said.get("limit_mtok", job.price_mtok)
    if credential.on_exhausted == OnExhausted.WAIT and outcome in _PASSING and fits:
        return Admission(job.id, available_mtok, must_wait=True, refused=problem)
    raise problem


_Call = tuple[Credential, Job]
_Answer = tuple[str, int | None, uuid.UUID | None, str | None]


def _take_in(credential: Credential, job: Job) -> _Answer:
    """Return the database's answer: outcome, available_mtok, job id, refusal as JSON.

    Calls that their callers wait for go together with others of their organization and class that this process has at
    hand; they would wait for each other's locks anyway. Of one hour, as they must count in the same windows.
    """
    # A cached answer is given at once, so its row must survive a power cut by then; what is accepted (202), too.
    if not (job.wait and job.status == JobStatus.QUEUED):
        return _admit_alone(credential, job, durable=True)
    hour = job.created_at.replace(minute=0, second=0, microsecond=0)
    return _combiner((credential.organization_id, job.priority_class, hour), (credential, job))


def _admit_alone(credential: Credential, job: Job, *, durable: bool) -> _Answer:
    arguments = [
        credential.organization_id,
        credential.account_id,
        credential.sub_token_id,
        job.idempotency_key,
        job.request_hash,
        not durable,
        credential.on_exhausted == OnExhausted.WAIT,
        weight_of(credential),
        row_of(job),
        _deadline(job),
        job.created_at,
    ]
    with connection.cursor() as cursor:
        cursor.execute(_ADMIT, arguments)
        answer: _Answer = cursor.fetchone()
        return answer


def _admit_together(key: tuple[uuid.UUID, int, dt.datetime], calls: Sequence[_Call]) -> list[_Answer]:
    if len(calls) == 1:
        return [_admit_alone(*calls[0], durable=False)]
    asked = [
        {
            "account": credential.account_id,
            "sub_token": credential.sub_token_id,
            "key": job.idempotency_key,
            "request_hash": job.request_hash,
            "may_wait": credential.on_exhausted == OnExhausted.WAIT,
            "weight": weight_of(credential),
            "job": orjson.Fragment(row_of(job)),
            "deadline": _deadline(job),
            "now": job.created_at,
        }
        for credential, job in calls
    ]
    with connection.cursor() as cursor:
        cursor.execute(_ADMIT_TOGETHER, [key[0], orjson.dumps(asked).decode()])
        return cursor.fetchall()


_combiner = Combiner(_admit_together, most=_MOST_TOGETHER)


def _deadline(job: Job) -> dt.datetime:
    return job.created_at + dt.timedelta(seconds=settings.JOB_LIFE_SECONDS)


def weight_of(credential: Credential) -> float:
    """Return the share of busy workers that the organization's plan gives its jobs."""
    return credential.plan.weight if credential.plan else 1.0


def row_of(job: Job) -> str:
    """Return a job that is not saved as the JSON that the database makes a row of."""
    return orjson.dumps({field.column: getattr(job, field.attname) for field in Job._meta.concrete_fields}).decode()
