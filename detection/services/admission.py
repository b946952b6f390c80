"""Takes a job in: limits, hold, place in the queue and the row, in one statement and one round trip."""

from __future__ import annotations

import datetime as dt
import uuid
from dataclasses import dataclass

import orjson
from django.conf import settings
from django.db import connection
from django.utils import timezone

from billing.queries.credentials import Credential, credential_for_sub_token
from detection.models import Job
from detection.services.answers import tokens
from tenants.api.problems import Problem
from tenants.models import Organization
from tenants.scope import organization_scope

_ADMIT = "SELECT outcome, available_mtok, job_id FROM detection_admit(%s, %s, %s, %s, %s, %s, %s, %s, %s, %s)"
WEIGHT = 1.0


@dataclass(frozen=True, slots=True)
class Admission:
    """`job_id` is the new job, or, when `replayed`, the one that the same idempotency key made earlier.

    `available_mtok` is what the sub-token can spend after the hold; None for a replay.
    """

    job_id: uuid.UUID
    available_mtok: int | None
    replayed: bool


def admit(credential: Credential, job: Job) -> Admission:
    """Hold a queued job's price and put it into the queue, or log a job that comes finished (a cached answer).

    `job` is not saved; its `wait` says whether the caller is on the line. Locks the idempotency key, the accounts on
    the way to the one that pays, and the organization's fair-share clock, all until the statement's own commit.

    Raises Problem: insufficient_tokens, quota_exceeded, revoked_token, suspended_token, expired_token,
    idempotency_mismatch.
    """
    if connection.atomic_blocks and not connection.atomic_blocks[-1]._from_testcase:  # type: ignore[attr-defined]
        raise RuntimeError("A job admitted inside a transaction would be unseen by the worker that it waits for.")
    deadline = job.created_at + dt.timedelta(seconds=settings.JOB_LIFE_SECONDS)
    with connection.cursor() as cursor:
        cursor.execute(
            _ADMIT,
            [
                credential.organization_id,
                credential.account_id,
                credential.sub_token_id,
                job.idempotency_key,
                job.request_hash,
                job.wait,
                WEIGHT,
                _row(job),
                deadline,
                job.created_at,
            ],
        )
        outcome, available_mtok, job_id = cursor.fetchone()
    if outcome in ("admitted", "replay"):
        return Admission(job_id, available_mtok, replayed=outcome == "replay")
    raise _refusal(outcome, credential, job.price_mtok, available_mtok or 0)


def _row(job: Job) -> str:
    return orjson.dumps({field.column: getattr(job, field.attname) for field in Job._meta.concrete_fields}).decode()


def _refusal(outcome: str, credential: Credential, price_mtok: int, available_mtok: int) -> Problem:
    match outcome:
        case "mismatch":
            return Problem("idempotency_mismatch", "This Idempotency-Key was used for another request.")
        case "account_closed":
            return _closed(credential)
        case "account_expired":
            return Problem("expired_token", "This sub-token expired.")
        case "quota_exceeded":
            detail = "The quota of this sub-token, or of the team that it draws on, has no room for this call."
        case "insufficient_tokens":
            detail = "There are not enough Tokens left for this call."
        case _:
            raise RuntimeError(f"detection_admit answered {outcome!r} for sub-token {credential.sub_token_id}")
    needed, remaining = tokens(price_mtok), tokens(max(available_mtok, 0))
    return Problem(
        outcome,
        f"{detail} It costs {needed}; {remaining} can be spent.",
        headers={"Tokens-Used": "0", "Tokens-Remaining": str(remaining)},
        needed_tokens=needed,
        remaining_tokens=remaining,
        top_up_url=_top_up_url(credential.organization_id),
    )


def _closed(credential: Credential) -> Problem:
    """Say why an account is closed that was open when the credential was read, less than a second ago."""
    with organization_scope(credential.organization_id):
        fresh = credential_for_sub_token(credential.organization_id, credential.sub_token_id)
    try:
        if fresh is not None:
            fresh.require_live(timezone.now())
    except Problem as problem:
        return problem
    return Problem("revoked_token", "This sub-token was revoked.")


def _top_up_url(organization_id: uuid.UUID) -> str:
    with organization_scope(organization_id):
        slug = Organization.objects.values_list("slug", flat=True).get(id=organization_id)
    return f"{settings.BASE_URL}/o/{slug}/grants/"
