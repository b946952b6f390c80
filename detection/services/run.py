"""The one way into the machine room, for the API and the playground alike."""

from __future__ import annotations

import datetime as dt
import hashlib
import time
import uuid
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import orjson
import structlog
from django.conf import settings
from django.utils import timezone
from kombu.exceptions import OperationalError
from redis.exceptions import RedisError

from billing.pricing import NoPriceError, price_mtok
from billing.queries.balances import balance
from billing.queries.credentials import Credential
from billing.queries.price_books import active_price_book
from billing.services import rate
from detection.enums import FINISHED, JobError, JobStatus
from detection.models import Job
from detection.queries.jobs import find_job
from detection.services import admission, answers, blobs, cache, doorbell, jobs, spare_inputs, waiting, waiting_room
from detection.services.inputs import ImageHeader, inspect_image
from detection.services.parameters import Parameters, read_parameters
from detection.services.redis import client
from tenants.api.problems import Problem
from tenants.identifiers import new_id
from tenants.scope import organization_scope

log = structlog.get_logger(__name__)

RETRY_SECONDS = "5"


@dataclass(frozen=True, slots=True)
class Submission:
    """What was sent: the image's bytes, and the parameters; `textual` when they are all text (a form or a query)."""

    image: bytes
    fields: Mapping[str, Any]
    textual: bool = False


@dataclass(frozen=True, slots=True)
class Call:
    """How it was sent. `wait_seconds` is how long the caller stays for the result, 0 not at all."""

    request_id: str = ""
    client_ip: str | None = None
    idempotency_key: str | None = None
    wait_seconds: float = field(default_factory=lambda: settings.DETECT_WAIT_SECONDS)
    use_cache: bool = True
    hung_up: Callable[[], bool] = lambda: False


@dataclass(frozen=True, slots=True)
class Outcome:
    """A job's document (`answers.job_document`), finished or not, and the rate limit's headers.

    `replayed` says that an earlier call with the same idempotency key made the job.
    """

    document: dict[str, Any]
    headers: dict[str, str]
    replayed: bool = False

    @property
    def finished(self) -> bool:
        return self.document["status"] in FINISHED


def detect(credential: Credential, read: Callable[[], Submission], call: Call) -> Outcome:
    """Run one image through a model and charge the sub-token for it.

    `read` is called once the call is within the sub-token's rate and concurrency, so that a refused call costs neither
    time nor memory. The price is held in the same statement that makes the job; nothing is held before every check has
    passed, and whatever fails later gives it back, together with the request itself: what is answered with a problem
    counts neither for the rate nor for the day.

    A job that goes on after its caller was answered (202) counts as one of the sub-token's calls until it is over; one
    that waits for Tokens does not until they have come.

    Raises Problem for every refusal, and for a job that failed within the wait; it bears what was spent and is left.
    """
    # The lease goes by the job's id, so that whoever finishes an accepted job can give it back.
    job_id = new_id()
    lease, accepted, given_back = str(job_id), False, False
    try:
        limits = rate.admit(credential, lease, lease_seconds=call.wait_seconds + 30)
    except Problem as problem:
        problem.headers |= _bill(problem, credential)
        raise
    try:
        document, replayed = _run(credential, job_id, read(), call)
        if document["status"] in (JobStatus.FAILED, JobStatus.CANCELLED):
            raise _failure(document)
        outcome = Outcome(document, limits.headers, replayed)
        accepted = not (outcome.finished or replayed or document["status"] == JobStatus.WAITING)
        # Whoever publishes a finished job gives its lease back in the same breath.
        # Not what this process alone has counted: no other can give that back.
        published = outcome.finished and not replayed and not document["usage"]["cached"]
        given_back = published and limits.day is not None
        return outcome
    except Problem as problem:
        rate.give_back(credential, limits)
        problem.headers |= limits.headers | _bill(problem, credential)
        raise
    finally:
        if accepted:
            rate.keep(credential, lease, lease_seconds=settings.JOB_LIFE_SECONDS)
        elif not given_back:
            rate.release(credential, lease)


def _run(credential: Credential, job_id: uuid.UUID, submission: Submission, call: Call) -> tuple[dict[str, Any], bool]:
    """Return the job's document, and whether an earlier call made it."""
    started = time.monotonic()
    image = inspect_image(submission.image)
    sha256 = hashlib.sha256(submission.image).hexdigest()
    parameters = read_parameters(submission.fields, textual=submission.textual)
    job = _job(credential, job_id, image, sha256, parameters, call)
    unpaid = answers.document(job)
    kept = cache.find(unpaid) if call.use_cache else None
    if kept is not None:
        _answer_from_cache(job, kept, started)

    admitted = admission.admit(credential, job)
    if admitted.must_wait:
        admitted = waiting_room.keep(credential, job, submission.image, admitted)
    if admitted.replayed:
        return _replay(credential, admitted.job_id, call), True
    if admitted.must_wait:
        return answers.document(job, remaining_mtok=admitted.available_mtok), False
    if kept is None and (document := _submit(credential, job, submission.image, call)):
        return document, False
    return answers.document(job, remaining_mtok=admitted.available_mtok), False


def _submit(credential: Credential, job: Job, image: bytes, call: Call) -> dict[str, Any] | None:
    """Hand an admitted job to the workers and wait for it, as long as the caller does; None if that is not at all."""
    try:
        _hand_over(job, image)
        if call.wait_seconds <= 0:
            return None
        document = waiting.wait(credential.organization_id, job.id, seconds=call.wait_seconds, hung_up=call.hung_up)
        if document["usage"]["remaining_tokens"] is None:
            document = with_remaining(document, credential)
        return document
    except Problem:
        raise
    except Exception:
        # The caller will be told of our fault and of no job: it must not be run, and charged, behind their back.
        with suppress(Exception):
            _take_back(job, "Its server failed.")
        raise


def quote_mtok(parameters: Parameters, *, width: int | None = None, height: int | None = None) -> tuple[int, int]:
    """Return what a call costs in mtok and the version of the price book that says so.

    `width` and `height` are the image's, in px; only a price per megapixel needs them. Raises Problem
    `validation_error` where the price cannot be told.
    """
    prices = active_price_book()
    try:
        mtok = price_mtok(
            prices,
            letter=parameters.model.letter,
            img_size=parameters.img_size,
            model=parameters.model.name,
            width=width,
            height=height,
        )
    except NoPriceError as error:
        errors = {"model": [{"message": str(error), "code": "no_price"}]}
        raise Problem("validation_error", str(error), errors=errors) from None
    return mtok, prices.version


def _job(
    credential: Credential, job_id: uuid.UUID, image: ImageHeader, sha256: str, parameters: Parameters, call: Call
) -> Job:
    credential.require_model(parameters.model.name, parameters.model.task)
    version = parameters.version
    if version is None:
        raise Problem(
            "model_not_installed",
            f"{parameters.model.name} is listed but not installed here. An operator installs it with"
            f" 'manage.py models pull {parameters.model.name}'; GET /v1/models says which are installed.",
        )
    mtok, price_book = quote_mtok(parameters, width=image.width, height=image.height)
    engine = parameters.for_engine()
    question = [sha256, parameters.model.name, parameters.img_size, engine, parameters.tags]
    return Job(
        id=job_id,
        created_at=timezone.now(),
        organization_id=credential.organization_id,
        sub_token_id=credential.sub_token_id,
        model_version_id=version.id,
        task=parameters.model.task,
        img_size=parameters.img_size,
        parameters=engine,
        tags=parameters.tags,
        status=JobStatus.QUEUED,
        priority_class=credential.priority_class,
        wait=call.wait_seconds > 0,
        price_mtok=mtok,
        price_book=price_book,
        idempotency_key=call.idempotency_key,
        request_hash=hashlib.sha256(orjson.dumps(question, option=orjson.OPT_SORT_KEYS)).hexdigest(),
        request_id=call.request_id,
        client_ip=call.client_ip,
        input_sha256=sha256,
        image_width=image.width,
        image_height=image.height,
    )


def _answer_from_cache(job: Job, predictions: list[dict[str, Any]], started: float) -> None:
    job.status = JobStatus.SUCCEEDED
    job.cached = True
    job.price_mtok = 0
    job.result, job.prediction_count = predictions, len(predictions)
    job.queue_ms = job.inference_ms = 0.0
    job.total_ms = (time.monotonic() - started) * 1000
    job.finished_at = job.created_at + dt.timedelta(milliseconds=job.total_ms)


def _hand_over(job: Job, image: bytes) -> None:
    try:
        with client().pipeline(transaction=False) as pipe:
            blobs.put_in(pipe, job.id, image)
            doorbell.ring_in(pipe, job.model_version_id, job.img_size)
            *_, unheard = pipe.execute()
        if unheard:
            doorbell.call(job.model_version_id, job.img_size, job.priority_class)
    except (RedisError, OperationalError) as error:
        if _hand_over_spare(job, image, error):
            return
        log.warning("job_not_handed_over", job=str(job.id), error=str(error))
        if not _take_back(job, "The image could not be handed to a worker."):
            # A worker came by without being called. What it makes of the job, and charges for it, is the answer.
            return
        raise Problem(
            "no_capacity",
            "No worker can be reached right now; nothing was charged.",
            headers={"Retry-After": RETRY_SECONDS},
        ) from None


def _hand_over_spare(job: Job, image: bytes, error: Exception) -> bool:
    """Leave a job's image in PostgreSQL, where workers look while Redis is away; say whether there was room.

    Not where Redis is there and full: that bound is meant.
    """
    if blobs.is_full(error):
        return False
    try:
        spare_inputs.put(job, image)
    except spare_inputs.NoRoomError:
        return False
    log.warning("job_handed_over_without_redis", job=str(job.id), error=str(error))
    return True


def _take_back(job: Job, detail: str) -> bool:
    """Fail a job that no worker has yet, at no cost; say whether that was so."""
    code = JobError.NO_CAPACITY
    return jobs.withdraw(job.organization_id, job.id, status=JobStatus.FAILED, error_code=code, detail=detail)


def _replay(credential: Credential, job_id: uuid.UUID, call: Call) -> dict[str, Any]:
    """Answer with the job that the idempotency key made earlier, waiting for it if it is still under way."""
    with organization_scope(credential.organization_id):
        document = answers.document(find_job(job_id))
    if document["status"] in (JobStatus.QUEUED, JobStatus.RUNNING) and call.wait_seconds > 0:
        document = waiting.wait(credential.organization_id, job_id, seconds=call.wait_seconds, listen=False)
    return with_remaining(document, credential)


def with_remaining(document: dict[str, Any], credential: Credential) -> dict[str, Any]:
    """Return a job's document with what its sub-token can spend now."""
    with organization_scope(credential.organization_id):
        available = balance(credential.account_id).available_mtok
    document["usage"]["remaining_tokens"] = answers.tokens(available)
    return document


def _bill(problem: Problem, credential: Credential) -> dict[str, str]:
    """Return the headers that say what a refused or failed call cost and what is left, as far as it has none."""
    if "Tokens-Remaining" in problem.headers:
        return {}
    with organization_scope(credential.organization_id):
        available = balance(credential.account_id).available_mtok
    return {"Tokens-Used": "0", "Tokens-Remaining": str(answers.tokens(available))}


_MEANING = {
    JobError.INVALID_IMAGE: ("invalid_image", "The image cannot be decoded."),
    JobError.IMAGE_TOO_LARGE: ("image_too_large_to_decode", "The image has too many pixels."),
    JobError.INFERENCE_FAILED: ("internal_error", "The model failed on this image."),
    JobError.MODEL_UNAVAILABLE: ("model_loading", "The model could not be loaded."),
}


def _failure(document: dict[str, Any]) -> Problem:
    """Return what a caller is told about a job that came to nothing while they waited."""
    job_id = document["id"]
    headers = {"Tokens-Used": "0", "Tokens-Remaining": str(document["usage"]["remaining_tokens"])}
    if document["status"] == JobStatus.CANCELLED:
        return Problem("conflict", "The job was cancelled; nothing was charged.", headers=headers, job_id=job_id)
    error = document["error"]
    code, detail = _MEANING.get(error["code"], ("no_capacity", "No worker could run it."))
    if code in ("no_capacity", "model_loading"):
        headers["Retry-After"] = RETRY_SECONDS
    return Problem(code, f"{error['detail'] or detail} Nothing was charged.", headers=headers, job_id=job_id)
