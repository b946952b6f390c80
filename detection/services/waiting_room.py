"""Jobs that wait for Tokens: kept with their images, and put into the queue in order when Tokens arrive.

A job waits where its sub-token's policy says `wait` and its Tokens, a quota or a limit have no room for it. Nothing is
held for it and it is no call at a time. In order means: of all jobs that wait for the same account's Tokens, quota or
limit, the one that came first goes first, and a cheaper one that came later does not slip past it.
"""

from __future__ import annotations

import datetime as dt
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import orjson
import structlog
from django.conf import settings
from django.db import connection
from django.db.models import Q
from kombu.exceptions import OperationalError
from redis.exceptions import RedisError

from billing.enums import SYSTEM_KINDS, AccountMode, HoldOutcome
from billing.models import Account
from billing.queries.credentials import Credential, credential_for_sub_token
from billing.services import rate
from detection.enums import JobError, JobStatus
from detection.models import Job, WaitingInput
from detection.services import blobs, doorbell, jobs
from detection.services.admission import Admission, row_of, weight_of
from tenants.api.problems import Problem
from tenants.scope import organization_scope, platform_scope

log = structlog.get_logger(__name__)

# One round of the scheduler, which has more to do, gives this much time to them, and reads so many at once.
ROUND_SECONDS = 1.0
LOOKED_AT = 500
# A sub-token may have ended, or been suspended, since its credential was read.
_ENDED = {HoldOutcome.ACCOUNT_CLOSED.value: "stopped", HoldOutcome.ACCOUNT_EXPIRED.value: "ended"}


def keep(credential: Credential, job: Job, image: bytes, admitted: Admission) -> Admission:
    """Keep a job that admission did not take in; what comes back says whether an earlier call had made it.

    Locks the idempotency key and the organization's waiting room. Raises the refusal when the room is full.
    """
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT outcome, job_id FROM detection_keep_waiting(%s, %s, %s, %s, %s, %s)",
            [
                credential.organization_id,
                credential.account_id,
                row_of(job),
                image,
                settings.WAITING_JOBS,
                settings.WAITING_BYTES,
            ],
        )
        outcome, job_id = cursor.fetchone()
    if outcome == "mismatch":
        raise Problem("idempotency_mismatch", "This Idempotency-Key was used for another request.")
    if outcome == "too_many_waiting":
        raise admitted.refused or Problem(
            "insufficient_tokens", "There are no Tokens for this call, and so many of your organization wait already."
        )
    job.status, job.wait = JobStatus.WAITING, False
    return replace(admitted, job_id=job_id, replayed=outcome == "replay")


def admit_waiting(*, now: dt.datetime) -> int:
    """Put jobs into the queue whose Tokens have come, in order, and return how many; end those that waited too long.

    Short transactions, one for each job, that may be repeated and may run beside each other.
    """
    _end_overdue(now)
    with platform_scope("find jobs that wait for Tokens"):
        organizations = list(
            WaitingInput.objects.order_by("organization_id").values_list("organization_id", flat=True).distinct()
        )
    until, admitted = time.monotonic() + ROUND_SECONDS, 0
    # Each round begins with another one, so that one with much to do does not keep the others waiting.
    turn = int(now.timestamp()) % len(organizations) if organizations else 0
    for organization_id in organizations[turn:] + organizations[:turn]:
        try:
            admitted += _admit_organization(organization_id, until=until, now=now)
        except RedisError as error:
            log.warning("waiting_jobs_stay", error=str(error))
            break
    return admitted


@dataclass(frozen=True, slots=True)
class _Waiting:
    job_id: uuid.UUID
    account_id: uuid.UUID
    # All whose room it needs: ("tokens", who pays), ("quota", each that draws), ("limit", each from here upward).
    needs: frozenset[tuple[str, uuid.UUID]]


def _admit_organization(organization_id: uuid.UUID, *, until: float, now: dt.datetime) -> int:
    admitted, full = 0, set[tuple[str, uuid.UUID]]()
    for waiting in _in_order(organization_id):
        if waiting.needs & full:
            continue
        if time.monotonic() > until:
            break
        outcome, lacking = _admit(organization_id, waiting, now)
        if outcome == "admitted":
            admitted += 1
        elif outcome == "ended":
            _end(organization_id, waiting.job_id, JobError.SUB_TOKEN_ENDED, "Its sub-token ended while it waited.")
        elif outcome != "gone":
            full.add(lacking or ("call", waiting.account_id))
    return admitted


def _in_order(organization_id: uuid.UUID) -> Iterator[_Waiting]:
    """Yield an organization's waiting jobs, the first to come first, each with what it needs.

    All of them: those at the head may wait for one empty account for days, and the next for another that has Tokens.
    """
    with organization_scope(organization_id):
        accounts = {account.id: account for account in Account.objects.exclude(kind__in=SYSTEM_KINDS)}
    waiting = WaitingInput.objects.order_by("created_at", "id").values_list("created_at", "id", "account_id")
    after = Q()
    while True:
        with organization_scope(organization_id):
            rows = list(waiting.filter(after)[:LOOKED_AT])
        for _since, job_id, account_id in rows:
            yield _Waiting(job_id, account_id, _needs(account_id, accounts))
        if len(rows) < LOOKED_AT:
            return
        since, job_id, _account_id = rows[-1]
        after = Q(created_at__gt=since) | Q(created_at=since, id__gt=job_id)


def _needs(account_id: uuid.UUID, accounts: dict[uuid.UUID, Account]) -> frozenset[tuple[str, uuid.UUID]]:
    needs = {("call", account_id)}
    at, unpaid = accounts.get(account_id), True
    while at is not None:
        needs.add(("limit", at.id))
        if unpaid:
            capped = at.mode == AccountMode.CAPPED
            needs.add(("quota" if capped else "tokens", at.id))
            unpaid = capped
        at = accounts.get(at.parent_id) if at.parent_id else None
    return frozenset(needs)


class _NoPlaceError(Exception):
    """All calls at a time that a level of the sub-token may make are under way."""


def _admit(organization_id: uuid.UUID, waiting: _Waiting, now: dt.datetime) -> tuple[str, tuple[str, uuid.UUID] | None]:
    """Try to put one job into the queue; return what came of it, and which of its needs has no room.

    The image is in the workers' store before the job can be claimed. What fails on the way leaves the job waiting.
    Locks as detection_admit_waiting. Raises RedisError.
    """
    credential, lease = _credential(organization_id, waiting.job_id), str(waiting.job_id)
    if credential is None:
        return "gone", None
    if stopped := _stopped(credential, now):
        return stopped, None
    placed = False
    try:
        with organization_scope(organization_id):
            deadline = now + dt.timedelta(seconds=settings.JOB_LIFE_SECONDS)
            outcome, refused = _ask(credential, waiting, deadline, now)
            if outcome != "admitted":
                return _ENDED.get(outcome, outcome), _lacking(refused) if refused else None
            placed = rate.take_place(credential, lease, lease_seconds=settings.JOB_LIFE_SECONDS)
            if not placed:
                raise _NoPlaceError
            job = Job.objects.get(id=waiting.job_id)
            blobs.put(job.id, bytes(WaitingInput.objects.values_list("content", flat=True).get(id=job.id)))
            WaitingInput.objects.filter(id=job.id).delete()
    except _NoPlaceError:
        return "concurrency_limited", None
    except Exception:
        if placed:
            rate.release(credential, lease)
        raise
    try:
        doorbell.ring(job.model_version_id, job.img_size, job.priority_class)
    except (RedisError, OperationalError) as error:
        log.warning("doorbell_not_rung", job=str(job.id), error=str(error))
    return "admitted", None


def _credential(organization_id: uuid.UUID, job_id: uuid.UUID) -> Credential | None:
    with organization_scope(organization_id):
        waiting = Job.objects.filter(id=job_id, status=JobStatus.WAITING)
        sub_token_id = waiting.values_list("sub_token_id", flat=True).first()
        found = credential_for_sub_token(organization_id, sub_token_id) if sub_token_id else None
        if found is None:
            return None
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT tenants_frozen_at(%s), tenants_organization_closing(%s)", [organization_id, organization_id]
            )
            frozen_at, closing_since = cursor.fetchone()
        return replace(found, frozen_at=frozen_at, closing_since=closing_since)


def _stopped(credential: Credential, now: dt.datetime) -> str | None:
    """Say whether a sub-token has `ended`, for good, or is `stopped` for a time: it, or its organization."""
    try:
        credential.require_live(now)
    except Problem as problem:
        return "ended" if problem.code in {"revoked_token", "expired_token"} else "stopped"
    return None


def _ask(
    credential: Credential, waiting: _Waiting, deadline: dt.datetime, now: dt.datetime
) -> tuple[str, dict[str, Any] | None]:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT outcome, refusal FROM detection_admit_waiting(%s, %s, %s, %s, %s, %s)",
            [credential.organization_id, waiting.account_id, waiting.job_id, weight_of(credential), deadline, now],
        )
        outcome, refused = cursor.fetchone()
    return outcome, orjson.loads(refused) if refused else None


def _lacking(refused: dict[str, Any]) -> tuple[str, uuid.UUID]:
    what = refused["limit"] if refused["limit"] in ("tokens", "quota") else "limit"
    return what, uuid.UUID(refused["account"])


def _end_overdue(now: dt.datetime) -> None:
    with platform_scope("end jobs that waited too long for Tokens"):
        overdue = list(
            WaitingInput.objects.filter(created_at__lt=now - dt.timedelta(seconds=settings.WAITING_SECONDS))
            .order_by("created_at")
            .values_list("organization_id", "id")[:LOOKED_AT]
        )
    for organization_id, job_id in overdue:
        _end(organization_id, job_id, JobError.INSUFFICIENT_TOKENS, "No Tokens arrived for it in its time.")


def _end(organization_id: uuid.UUID, job_id: uuid.UUID, code: JobError, detail: str) -> None:
    if not jobs.withdraw(organization_id, job_id, status=JobStatus.FAILED, error_code=code, detail=detail):
        log.info("waiting_job_in_other_hands", job=str(job_id))
