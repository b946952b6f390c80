"""Jobs for tests, with the Tokens held for them and their input where a worker looks for it."""

from __future__ import annotations

import uuid
from datetime import datetime, timedelta
from typing import Any

from django.utils import timezone

from billing.models import SubToken
from billing.services.allocations import allocate
from detection.models import Job, ModelVersion
from detection.services import blobs
from tenants.identifiers import new_id
from tenants.scope import organization_scope, platform_scope
from tests.factories.billing import make_grant, make_hold, make_wallet
from tests.factories.sub_tokens import make_sub_token
from tests.factories.tenants import make_organization

PARAMETERS = {"conf": 0.25, "iou": 0.7, "max_det": 300, "classes": None}


def make_spender(mtok: int = 50_000, *, beside: SubToken | None = None) -> SubToken:
    """Create a sub-token with `mtok` of its own, in an organization of its own, or in that of another sub-token."""
    if beside is None:
        organization = make_organization()
        wallet = make_wallet(organization, mtok)
    else:
        organization, wallet = beside.organization, beside.account.parent
        make_grant(organization, mtok)
    sub_token, _ = make_sub_token(organization, name="Line 1" if beside is None else f"Beside {beside.name}")
    with organization_scope(organization.id):
        allocate(
            from_account_id=wallet.id,
            to_account_id=sub_token.account_id,
            mtok=mtok,
            idempotency_key=f"allocation-{sub_token.id}",
            now=timezone.now(),
        )
    return sub_token


def queue_job(
    sub_token: SubToken,
    version: ModelVersion,
    *,
    content: bytes | None = None,
    now: datetime | None = None,
    **fields: Any,
) -> Job:
    """Put a job into the queue at its price to `sub_token`, with `content` as its input if given."""
    job_id, now = new_id(), now or timezone.now()
    price_mtok = fields.pop("price_mtok", 700)
    deadline = now + timedelta(minutes=15)
    held = make_hold(sub_token.account, price_mtok, owner_id=job_id, key=str(job_id), deadline=deadline, now=now)
    if content is not None:
        blobs.put(job_id, content)
    defaults: dict[str, Any] = {
        "sub_token_id": sub_token.id,
        "task": "detect",
        "img_size": 640,
        "parameters": PARAMETERS,
        "price_book": 1,
        "request_hash": "",
        "input_sha256": "",
        "image_width": 64,
        "image_height": 48,
    }
    with organization_scope(sub_token.organization_id):
        return Job.objects.create(
            id=job_id,
            organization_id=sub_token.organization_id,
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
