"""Jobs for tests, with the Tokens held for them and their input where a worker looks for it."""

from __future__ import annotations

import uuid
from datetime import datetime, timedelta
from typing import Any

from django.utils import timezone

from billing.models import Account
from detection.models import Job, ModelVersion
from detection.services import blobs
from tenants.identifiers import new_id
from tenants.scope import organization_scope, platform_scope
from tests.factories.billing import make_hold

PARAMETERS = {"conf": 0.25, "iou": 0.7, "max_det": 300, "classes": None}


def queue_job(
    account: Account, version: ModelVersion, *, content: bytes | None = None, now: datetime | None = None, **fields: Any
) -> Job:
    """Put a job into the queue whose price `account` holds, with `content` as its input if given."""
    job_id, now = new_id(), now or timezone.now()
    price_mtok = fields.pop("price_mtok", 700)
    held = make_hold(
        account, price_mtok, owner_id=job_id, key=str(job_id), deadline=now + timedelta(minutes=15), now=now
    )
    if content is not None:
        blobs.put(job_id, content)
    defaults: dict[str, Any] = {
        "sub_token_id": account.id,
        "task": "detect",
        "img_size": 640,
        "parameters": PARAMETERS,
        "price_book": 1,
        "request_hash": "",
        "input_sha256": "",
        "image_width": 64,
        "image_height": 48,
    }
    with organization_scope(account.organization_id):
        return Job.objects.create(
            id=job_id,
            organization_id=account.organization_id,
            created_at=now,
            hold_id=held.hold_id,
            model_version=version,
            price_mtok=price_mtok,
            **(defaults | fields),
        )


def job_now(job: Job | uuid.UUID) -> Job:
    """Return a job as it stands in the database."""
    with platform_scope("test"):
        return Job.objects.get(id=job if isinstance(job, uuid.UUID) else job.id)
