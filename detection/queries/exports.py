"""Calls as lines of a file, however many: read in batches by the id where the last one ended, each in its own scope."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from django.db.models import QuerySet

from detection.models import Job
from detection.queries.catalogue import names_of
from tenants.scope import organization_scope

BATCH = 2_000
COLUMNS = [
    "time", "call", "sub_token", "model", "version", "img_size", "status", "tokens", "cached", "found", "queue_ms",
    "inference_ms", "total_ms", "client_ip", "request_id", "error",
]  # fmt: skip
_FIELDS = (
    "created_at", "id", "sub_token__name", "model_version_id", "img_size", "status", "charged_mtok", "cached",
    "prediction_count", "queue_ms", "inference_ms", "total_ms", "client_ip", "request_id", "error_code",
)  # fmt: skip


def call_rows(organization_id: uuid.UUID, find: Callable[[], QuerySet[Job]]) -> Iterator[Sequence[Any]]:
    """Yield the heading and a line for each call that `find` finds, latest first.

    No transaction lasts longer than a batch, and no more than a batch is in memory. `find` is called in the
    organization's scope, once for each batch.
    """
    yield COLUMNS
    cursor: uuid.UUID | None = None
    while True:
        with organization_scope(organization_id):
            found = find().order_by("-id")
            batch = list((found.filter(id__lt=cursor) if cursor else found).values_list(*_FIELDS)[:BATCH])
        for at, call_id, sub_token, version_id, img_size, status, mtok, *rest in batch:
            model, version = names_of(version_id)
            tokens = f"{mtok // 1000}.{mtok % 1000:03d}"
            yield [at.isoformat(), call_id, sub_token, model, version, img_size, status, tokens, *rest]
        if len(batch) < BATCH:
            return
        cursor = batch[-1][1]
