"""Single jobs. Whoever calls has opened the scope of an organization."""

from __future__ import annotations

import uuid

from detection.models import Job
from tenants.api.problems import Problem


def find_job(job_id: uuid.UUID, *, sub_token_id: uuid.UUID | None = None) -> Job:
    """Return a job of the organization in scope, or of one of its sub-tokens only.

    Raises Problem `not_found`, the same for a job that does not exist and for one that is somebody else's.
    """
    jobs = Job.objects.filter(id=job_id)
    if sub_token_id is not None:
        jobs = jobs.filter(sub_token_id=sub_token_id)
    job = jobs.first()
    if job is None:
        raise Problem("not_found", "There is no such job, or it is not yours to see.")
    return job
