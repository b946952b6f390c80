"""Runs jobs: claim a batch, fetch and decode its images, infer, filter for each request, settle; until none waits."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta

import numpy as np
import structlog
from django.conf import settings
from django.db import close_old_connections
from django.utils import timezone
from numpy.typing import NDArray

from detection.enums import JobError
from detection.services import blobs, doorbell, queue, settlement, spare_inputs
from detection.services.queue import Claim
from detection.services.settlement import Outcome
from tenants.identifiers import first_id_at
from workers.decode import DecodeError, decode, measure
from workers.engines.base import EngineError, RawDetections
from workers.machine import Machine
from workers.nms import select
from workers.pool import LoadedModel

log = structlog.get_logger(__name__)

Image = NDArray[np.uint8]

# A job is in the queue a moment before its input is stored. A batch waits this long for it; then the job goes back, as
# long as it is so young that whoever brought it may only be slow (a process on a busy machine, stopped for a while).
INPUT_PATIENCE_SECONDS = 0.1
INPUT_LATE_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Picture:
    """A job's image before it is decoded, and how many pixels it will have."""

    claim: Claim
    content: bytes
    pixels: int


def serve(machine: Machine, version_id: uuid.UUID, img_size: int) -> None:
    """Answer a doorbell, and every other that rings until none has for a while: listening is the quick way.

    Raises what Redis or the database raise when they are away.
    """
    doorbell.answer(version_id, img_size)
    kind: tuple[uuid.UUID, int] | None = (version_id, img_size)
    while kind:
        close_old_connections()
        run_jobs(machine, *kind)
        kind = None if machine.stopping.is_set() else doorbell.listen(doorbell.LISTEN_SECONDS)


def run_jobs(machine: Machine, version_id: uuid.UUID, img_size: int) -> int:
    """Work off what waits for one model version at one size; return how many jobs were done.

    Stops early when the machine is stopping: what was claimed but not begun goes back, and another worker is called.
    Raises what Redis or the database raise when they are away; the jobs in hand then run again
    when their leases are over.
    """
    done, limit = 0, settings.INFERENCE_BATCH_SIZE
    while True:
        claimed = queue.claim(
            version_id=version_id,
            img_size=img_size,
            limit=limit,
            worker=machine.id,
            lease=machine.lease,
            now=timezone.now(),
        )
        if not claimed:
            return done
        if machine.stopping.is_set():
            queue.give_back(claims=claimed, worker=machine.id)
            doorbell.ring(version_id, img_size)
            return done
        claims = _apart(machine, claimed)
        with machine.in_hand(claims):
            outcomes = _run(machine, claims, version_id, img_size, _fetch(claims))
            if not outcomes:
                # Whoever stores the inputs rings.
                return done
            settlement.settle(outcomes=outcomes, worker=machine.id, now=timezone.now())
        done += len(outcomes)
        if len(claims) == len(claimed) < limit:
            # That was all there was; what came since has rung.
            return done


def run_spare(machine: Machine) -> int:
    """Work off jobs whose images lie in PostgreSQL, a batch of each kind; return how many were done.

    For while Redis is away. Raises what the database raises.
    """
    done = 0
    for version_id, img_size in spare_inputs.kinds():
        claimed = queue.claim_spare(
            version_id=version_id,
            img_size=img_size,
            limit=settings.INFERENCE_BATCH_SIZE,
            worker=machine.id,
            lease=machine.lease,
            now=timezone.now(),
        )
        if machine.stopping.is_set():
            queue.give_back(claims=claimed, worker=machine.id)
            return done
        if not claimed:
            continue
        claims = _apart(machine, claimed)
        ids = [claim.job_id for claim in claims]
        with machine.in_hand(claims):
            outcomes = _run(machine, claims, version_id, img_size, spare_inputs.get_many(ids))
            settlement.settle(outcomes=outcomes, worker=machine.id, now=timezone.now())
        spare_inputs.forget(ids)
        done += len(outcomes)
    return done


def _apart(machine: Machine, claims: list[Claim]) -> list[Claim]:
    """Return a job that runs once more alone, and give the others back for the next round.

    Its picture may be what ended its last worker, and others must not lose all their attempts together with it.
    """
    again = next((claim for claim in claims if claim.attempt > 1), None)
    if again is None or len(claims) == 1:
        return claims
    queue.give_back(claims=[claim for claim in claims if claim is not again], worker=machine.id)
    return [again]


def _run(
    machine: Machine,
    claims: Sequence[Claim],
    version_id: uuid.UUID,
    img_size: int,
    contents: Sequence[bytes | None],
) -> list[Outcome]:
    """Return one outcome per claim; whatever is wrong with one of them is its own.

    Jobs whose inputs are on their way still are given back, and have none.
    """
    try:
        model = machine.models.get(version_id, img_size)
    except EngineError as error:
        log.error("model_unavailable", version=str(version_id), reason=str(error))
        detail = "The model could not be loaded."
        return [_failure(claim, JobError.MODEL_UNAVAILABLE, detail) for claim in claims]
    measured = [_measure(claim, content) for claim, content in zip(claims, contents, strict=True)]
    outcomes = [found for found in measured if isinstance(found, Outcome)]
    if late := [claim for claim, found in zip(claims, measured, strict=True) if found is None]:
        queue.give_back(claims=late, worker=machine.id)
    pictures = [picture for picture in measured if isinstance(picture, Picture)]
    for part in machine.pixels.parts([picture.pixels for picture in pictures]):
        outcomes += _run_part(machine, model, pictures[part], img_size)
    return outcomes


def _run_part(machine: Machine, model: LoadedModel, pictures: Sequence[Picture], img_size: int) -> list[Outcome]:
    """Decode and infer pictures that fit into memory together."""
    # One image is not worth the way to another thread and back.
    each: Callable = machine.decoders.map if len(pictures) > 1 else map
    with machine.pixels.take(sum(picture.pixels for picture in pictures)):
        decoded = list(each(_decode, pictures))
        outcomes = [outcome for outcome in decoded if isinstance(outcome, Outcome)]
        ready = [
            (picture.claim, image)
            for picture, image in zip(pictures, decoded, strict=True)
            if not isinstance(image, Outcome)
        ]
        return outcomes + (_infer(model, ready, img_size) if ready else [])


def _fetch(claims: Sequence[Claim]) -> list[bytes | None]:
    """Return the inputs of jobs, waiting a little for what is not there yet; None where one is lost or late."""
    deadline = time.monotonic() + INPUT_PATIENCE_SECONDS
    while True:
        contents = blobs.get_many([claim.job_id for claim in claims])
        if None not in contents:
            return contents
        if time.monotonic() > deadline:
            return _with_spares(claims, contents)
        time.sleep(0.005)


def _with_spares(claims: Sequence[Claim], contents: list[bytes | None]) -> list[bytes | None]:
    """Fill in what came while Redis was away."""
    missing = [claim.job_id for claim, content in zip(claims, contents, strict=True) if content is None]
    spares = iter(spare_inputs.get_many(missing))
    return [next(spares) if content is None else content for content in contents]


def _measure(claim: Claim, content: bytes | None) -> Picture | Outcome | None:
    if content is None:
        if claim.job_id > first_id_at(timezone.now() - timedelta(seconds=INPUT_LATE_SECONDS)):
            return None
        return _failure(claim, JobError.INPUT_LOST, "The image was lost before it was processed; send it again.")
    try:
        return Picture(claim, content, measure(content))
    except DecodeError as error:
        return _failure(claim, error.code, str(error))


def _decode(picture: Picture) -> Image | Outcome:
    try:
        return decode(picture.content)
    except DecodeError as error:
        return _failure(picture.claim, error.code, str(error))


def _infer(model: LoadedModel, ready: Sequence[tuple[Claim, Image]], img_size: int) -> list[Outcome]:
    claims, images = zip(*ready, strict=True)
    started = time.perf_counter()
    try:
        found = model.engine.infer(images, img_size, confidence=min(claim.parameters["conf"] for claim in claims))
        elapsed = (time.perf_counter() - started) * 1000
        return [
            _success(model, claim, image, raw, elapsed) for claim, image, raw in zip(claims, images, found, strict=True)
        ]
    except Exception:
        # Libraries raise what they like, and the fault may lie with any one of the images.
        log.exception("inference_failed", model=model.name, jobs=[str(claim.job_id) for claim in claims])
    if len(ready) == 1:
        return [_failure(claims[0], JobError.INFERENCE_FAILED, "The model failed on this image.")]
    return [outcome for one in ready for outcome in _infer(model, [one], img_size)]


def _success(model: LoadedModel, claim: Claim, image: Image, raw: RawDetections, elapsed_ms: float) -> Outcome:
    wanted = claim.parameters
    found = select(
        raw,
        confidence=wanted["conf"],
        iou=wanted["iou"],
        max_det=wanted["max_det"],
        classes=wanted.get("classes") or (),
    )
    predictions = [
        {
            "class_id": class_id,
            "class_name": model.classes[class_id],
            "confidence": round(score, 4),
            "bbox": [round(side, 2) for side in box],
        }
        for box, score, class_id in zip(
            found.boxes.tolist(), found.scores.tolist(), found.class_ids.tolist(), strict=True
        )
    ]
    height, width = image.shape[:2]
    return Outcome(claim.job_id, claim.attempt, predictions, width, height, elapsed_ms)


def _failure(claim: Claim, code: JobError, detail: str) -> Outcome:
    return Outcome(claim.job_id, claim.attempt, error_code=code, error_detail=detail)
