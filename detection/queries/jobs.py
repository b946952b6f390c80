"""Jobs, the log of calls. Whoever calls has opened the scope of an organization."""

from __future__ import annotations

import uuid

from django.db.models import QuerySet

from detection.models import Job
from detection.queries.catalogue import catalogue
from tenants.api.problems import Problem


def find_job(job_id: uuid.UUID, *, sub_token_id: uuid.UUID | None = None) -> Job:
    """Return a job of the organization in scope, or of one of its sub-tokens only.

    Raises Problem `not_found`, the same for a job that does not exist and for one that is somebody else's.
    """
    job = jobs(sub_token_id=sub_token_id).filter(id=job_id).first()
    if job is None:
        raise Problem("not_found", "There is no such job, or it is not yours to see.")
    return job


def jobs(
    *, sub_token_id: uuid.UUID | None = None, status: str | None = None, model: str | None = None
) -> QuerySet[Job]:
    """Return the jobs of the organization in scope, in no order; None means all. A model goes by its name."""
    found = Job.objects.all()
    if sub_token_id is not None:
        found = found.filter(sub_token_id=sub_token_id)
    if status is not None:
        found = found.filter(status=status)
    if model is not None:
        known = catalogue().models.get(model)
        found = found.filter(model_version_id__in=[version.id for version in known.versions] if known else [])
    return found
