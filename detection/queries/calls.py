"""The log of calls. Whoever calls has opened the scope of an organization."""

from __future__ import annotations

import datetime as dt
import uuid
from dataclasses import dataclass

from django.db.models import Q

from detection.models import Job
from detection.queries.catalogue import catalogue


@dataclass(frozen=True, slots=True)
class CallFilters:
    """Which calls to list; None means all. `since` is included, `until` is not."""

    sub_token_id: uuid.UUID | None = None
    team_id: uuid.UUID | None = None
    status: str | None = None
    model: str | None = None
    since: dt.datetime | None = None
    until: dt.datetime | None = None
    text: str | None = None


@dataclass(frozen=True, slots=True)
class CallPage:
    """Calls, newest first, and the cursor that the next page starts after; None when this is the last."""

    jobs: list[Job]
    next_cursor: uuid.UUID | None


def list_calls(filters: CallFilters, *, cursor: uuid.UUID | None = None, limit: int = 50) -> CallPage:
    """Return a page of calls, newest first. Each job comes with its `sub_token` and that one's team.

    `filters.text` finds a call by its id, its request id or the beginning of its image's sha256.
    """
    jobs = Job.objects.filter(_condition(filters)).select_related("sub_token__team").order_by("-id")
    if cursor is not None:
        jobs = jobs.filter(id__lt=cursor)
    found = list(jobs[: limit + 1])
    page = found[:limit]
    return CallPage(page, page[-1].id if len(found) > limit else None)


def get_call(job_id: uuid.UUID) -> Job | None:
    """Return one call with its sub-token, or None if the organization in scope has no such call."""
    return Job.objects.select_related("sub_token__team").filter(id=job_id).first()


def _condition(filters: CallFilters) -> Q:
    condition = Q()
    if filters.sub_token_id is not None:
        condition &= Q(sub_token_id=filters.sub_token_id)
    if filters.team_id is not None:
        condition &= Q(sub_token__team_id=filters.team_id)
    if filters.status is not None:
        condition &= Q(status=filters.status)
    if filters.model is not None:
        known = catalogue().models.get(filters.model)
        condition &= Q(model_version_id__in=[version.id for version in known.versions] if known else [])
    if filters.since is not None:
        condition &= Q(created_at__gte=filters.since)
    if filters.until is not None:
        condition &= Q(created_at__lt=filters.until)
    if filters.text:
        condition &= _text(filters.text.strip())
    return condition


def _text(text: str) -> Q:
    if "\0" in text:
        return Q(pk=None)
    condition = Q(request_id=text) | Q(input_sha256__startswith=text.lower())
    try:
        return condition | Q(id=uuid.UUID(text))
    except ValueError:
        return condition
