"""The public shapes of a job: its document, and the answer to a call that waited for it."""

from __future__ import annotations

import datetime as dt
from typing import Any

from detection.enums import FINISHED, JobStatus
from detection.models import Job
from detection.queries.catalogue import names_of

_ANSWER = ("id", "model", "task", "image", "predictions", "count", "usage", "timing")


def tokens(mtok: int) -> float | int:
    """Return thousandths of a Token as the JSON number of Tokens, with at most 3 decimals."""
    whole, part = divmod(mtok, 1000)
    return mtok / 1000 if part else whole


def time_text(moment: dt.datetime | None) -> str | None:
    """Return a moment as RFC 3339 in UTC, to the millisecond."""
    if moment is None:
        return None
    return moment.astimezone(dt.UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def job_document(job: Job, *, model_name: str, version: str, remaining_mtok: int | None) -> dict[str, Any]:
    """Return what `GET /v1/jobs/{id}` answers.

    `remaining_mtok` is what the job's sub-token can still spend, None where that is not known.
    """
    succeeded = job.status == JobStatus.SUCCEEDED
    finished = job.status in FINISHED
    usage: dict[str, Any] = {
        "tokens": tokens(job.charged_mtok if finished else 0),
        "remaining_tokens": None if remaining_mtok is None else tokens(remaining_mtok),
        "cached": job.cached,
        "price_book": job.price_book,
        "price_tokens": tokens(job.price_mtok),
    }
    error = {"code": job.error_code, "detail": job.error_detail} if job.error_code else None
    return {
        "id": str(job.id),
        "status": job.status,
        "model": {"name": model_name, "version": version},
        "task": job.task,
        "img_size": job.img_size,
        "parameters": job.parameters,
        "tags": job.tags,
        "image": {"width": job.image_width, "height": job.image_height, "sha256": job.input_sha256},
        "predictions": job.result if succeeded else None,
        "count": job.prediction_count if succeeded else None,
        "usage": usage,
        "timing": {
            "queue_ms": _milliseconds(job.queue_ms),
            "inference_ms": _milliseconds(job.inference_ms),
            "total_ms": _milliseconds(job.total_ms),
        },
        "error": error,
        "organization": str(job.organization_id),
        "sub_token": str(job.sub_token_id),
        "request_id": job.request_id,
        "created_at": time_text(job.created_at),
        "started_at": time_text(job.started_at),
        "finished_at": time_text(job.finished_at),
    }


def document(job: Job, *, remaining_mtok: int | None = None) -> dict[str, Any]:
    """Return a job's document, with the names of its model and version from the catalogue."""
    model_name, version = names_of(job.model_version_id)
    return job_document(job, model_name=model_name, version=version, remaining_mtok=remaining_mtok)


def answer(document: dict[str, Any]) -> dict[str, Any]:
    """Return what `POST /v1/detect` answers for the document of a job that succeeded."""
    body = {name: document[name] for name in _ANSWER}
    body["usage"] = {name: value for name, value in document["usage"].items() if name != "price_tokens"}
    return body


def _milliseconds(value: float | None) -> float | None:
    return None if value is None else round(value, 2)
