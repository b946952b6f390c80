"""Images of queued jobs while Redis is away: in PostgreSQL, only so many bytes of them, until their jobs are over.

See docs/adr/0016. A job's row is committed before its image is put here; what belongs to no job under way is swept.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence

from django.conf import settings
from django.db import connection
from django.db.models import Sum

from detection.enums import JobStatus
from detection.models import Job, SpareInput
from tenants.scope import organization_scope, platform_scope


class NoRoomError(Exception):
    """As many bytes lie here as may."""


def put(job: Job, content: bytes) -> None:
    """Keep a queued job's image. Raises NoRoomError.

    Two that come at once may both take the last place: the bound is exceeded by at most an image for each thread.
    """
    with platform_scope("room for a spare input"):
        used = SpareInput.objects.aggregate(bytes=Sum("size"))["bytes"] or 0
    if used + len(content) > settings.SPARE_INPUT_BYTES:
        raise NoRoomError
    with organization_scope(job.organization_id):
        SpareInput.objects.create(
            id=job.id,
            organization_id=job.organization_id,
            created_at=job.created_at,
            content=content,
            size=len(content),
        )


def get_many(job_ids: Sequence[uuid.UUID]) -> list[bytes | None]:
    """Return the images of jobs in the order asked for; None where there is none here."""
    with platform_scope("fetch spare inputs"):
        found = dict(SpareInput.objects.filter(id__in=job_ids).values_list("id", "content"))
    return [bytes(found[job_id]) if job_id in found else None for job_id in job_ids]


def kinds() -> list[tuple[uuid.UUID, int]]:
    """Return of which model versions and image sizes (px) jobs wait whose images lie here."""
    with platform_scope("find jobs with spare inputs"):
        ids = list(SpareInput.objects.order_by("id").values_list("id", flat=True)[:1000])
        waiting = Job.objects.filter(id__in=ids, status=JobStatus.QUEUED)
        return sorted(set(waiting.values_list("model_version_id", "img_size")))


def forget(job_ids: Sequence[uuid.UUID]) -> None:
    """Drop the images of jobs that are over."""
    with platform_scope("forget spare inputs"):
        SpareInput.objects.filter(id__in=job_ids).delete()


def sweep() -> int:
    """Drop the images of all jobs that neither wait nor run any more; return how many."""
    with platform_scope("sweep spare inputs"), connection.cursor() as cursor:
        cursor.execute(
            "DELETE FROM detection_spareinput AS spare WHERE NOT EXISTS"
            " (SELECT FROM detection_job AS job WHERE job.id = spare.id AND job.status IN ('queued', 'running'))"
        )
        return cursor.rowcount
