"""From a doorbell to settled jobs, with a real pool and an engine that does as the test says."""

from __future__ import annotations

import threading
from datetime import timedelta
from uuid import UUID

import pytest
from django.db import connections
from django.utils import timezone
from redis.exceptions import ConnectionError as RedisConnectionError

from billing.models import SubToken
from detection.enums import JobError, JobStatus
from detection.models import ModelVersion
from detection.services import blobs, doorbell, queue
from tests.chaos.conftest import wait_for
from tests.detection.images import picture, png_header
from tests.factories.billing import assert_ledger_clean, balance_of
from tests.factories.jobs import PARAMETERS, job_now, queue_job
from tests.workers.conftest import Scripted
from workers import runner
from workers.engines.base import EngineError
from workers.machine import Machine
from workers.pool import LoadedModel
from workers.runner import run_jobs, serve

pytestmark = pytest.mark.django_db


def test_what_waits_is_done_in_batches(
    machine: Machine, engine: Scripted, sub_token: SubToken, version: ModelVersion, settings
) -> None:
    jobs = [queue_job(sub_token, version, content=picture("JPEG", (64, 48))) for _ in range(6)]
    settings.INFERENCE_BATCH_SIZE = 4
    assert run_jobs(machine, version.id, 640) == 6
    assert engine.batches == [4, 2]
    for job in jobs:
        done = job_now(job)
        assert done.status == JobStatus.SUCCEEDED
        assert done.result == [{"class_id": 0, "class_name": "open", "confidence": 1.0, "bbox": [0.0, 0.0, 64.0, 48.0]}]
        assert done.inference_ms is not None
    assert balance_of(sub_token.account).posted_mtok == 50_000 - 6 * 700
    assert_ledger_clean()


def test_what_lost_its_worker_runs_alone(
    machine: Machine, engine: Scripted, sub_token: SubToken, version: ModelVersion, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doorbell, "ring", lambda *_: None)
    jobs = [queue_job(sub_token, version, content=picture()) for _ in range(2)]
    now, lease = timezone.now(), timedelta(seconds=6)
    queue.claim(version_id=version.id, img_size=640, limit=4, worker="killed", lease=lease, now=now)
    assert queue.requeue_lost(now=now + 2 * lease) == 2
    jobs += [queue_job(sub_token, version, content=picture()) for _ in range(2)]
    assert run_jobs(machine, version.id, 640) == 4
    assert engine.batches == [1, 1, 2]
    assert [job_now(job).attempts for job in jobs] == [2, 2, 1, 1]
    assert {job_now(job).status for job in jobs} == {JobStatus.SUCCEEDED}


def test_one_bad_picture_fails_alone(
    machine: Machine, engine: Scripted, sub_token: SubToken, version: ModelVersion, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runner, "INPUT_LATE_SECONDS", 0.0)
    good = queue_job(sub_token, version, content=picture())
    cut = queue_job(sub_token, version, content=picture("JPEG", (640, 480))[:3000])
    bomb = queue_job(sub_token, version, content=png_header(60_000, 60_000))
    lost = queue_job(sub_token, version)
    run_jobs(machine, version.id, 640)
    assert job_now(good).status == JobStatus.SUCCEEDED
    assert [job_now(job).error_code for job in (cut, bomb, lost)] == [
        JobError.INVALID_IMAGE,
        JobError.IMAGE_TOO_LARGE,
        JobError.INPUT_LOST,
    ]
    assert engine.batches == [1]
    assert (balance_of(sub_token.account).posted_mtok, balance_of(sub_token.account).held_mtok) == (49_300, 0)


def test_a_picture_that_breaks_the_batch_fails_alone(
    machine: Machine, engine: Scripted, sub_token: SubToken, version: ModelVersion
) -> None:
    engine.unbearable = 99
    good = [queue_job(sub_token, version, content=picture("PNG", (64, 48))) for _ in range(2)]
    bad = queue_job(sub_token, version, content=picture("PNG", (99, 48)))
    run_jobs(machine, version.id, 640)
    assert engine.batches == [3, 1, 1, 1]
    assert [job_now(job).status for job in good] == [JobStatus.SUCCEEDED] * 2
    assert (job_now(bad).error_code, job_now(bad).charged_mtok) == (JobError.INFERENCE_FAILED, 0)
    assert balance_of(sub_token.account).posted_mtok == 50_000 - 2 * 700


def test_each_request_has_its_own_filters(machine: Machine, sub_token: SubToken, version: ModelVersion) -> None:
    all_of_them = queue_job(sub_token, version, content=picture())
    other_class = queue_job(sub_token, version, content=picture(), parameters={**PARAMETERS, "classes": [1]})
    none = queue_job(sub_token, version, content=picture(), parameters={**PARAMETERS, "max_det": 0})
    run_jobs(machine, version.id, 640)
    assert [job_now(job).prediction_count for job in (all_of_them, other_class, none)] == [1, 0, 0]


def test_a_model_that_cannot_be_loaded_costs_nothing(
    machine: Machine, sub_token: SubToken, version: ModelVersion, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> LoadedModel:
        raise EngineError("no such file")

    monkeypatch.setattr(machine.models, "get", broken)
    job = queue_job(sub_token, version, content=picture())
    run_jobs(machine, version.id, 640)
    assert job_now(job).error_code == JobError.MODEL_UNAVAILABLE
    assert (balance_of(sub_token.account).posted_mtok, balance_of(sub_token.account).held_mtok) == (50_000, 0)


def test_a_stopping_worker_gives_back_what_it_has_not_begun(
    machine: Machine, engine: Scripted, sub_token: SubToken, version: ModelVersion, monkeypatch: pytest.MonkeyPatch
) -> None:
    rings: list[tuple] = []
    monkeypatch.setattr(doorbell, "ring", lambda *kind: rings.append(kind))
    job = queue_job(sub_token, version, content=picture())
    machine.stopping.set()
    assert run_jobs(machine, version.id, 640) == 0
    assert (job_now(job).status, job_now(job).attempts) == (JobStatus.QUEUED, 0)
    assert rings == [(version.id, 640)]
    assert engine.batches == []


def test_a_worker_that_listens_needs_no_message(
    committed_db: None,
    machine: Machine,
    sub_token: SubToken,
    version: ModelVersion,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    messages: list[tuple] = []
    monkeypatch.setattr(doorbell, "call", lambda *kind: messages.append(kind))
    monkeypatch.setattr(doorbell, "LISTEN_SECONDS", 50.0)
    server = threading.Thread(target=serve_in_thread, args=(machine, version))
    server.start()
    try:
        for img_size in (640, 320, 640):
            wait_for_listener()
            job = queue_job(sub_token, version, content=picture(), img_size=img_size)
            doorbell.ring(version.id, img_size)
            wait_for(lambda job=job: job_now(job).status == JobStatus.SUCCEEDED, seconds=60)
        wait_for_listener()
    finally:
        machine.stopping.set()
        doorbell.ring(version.id, 640)
        server.join()
    assert messages == []
    assert_ledger_clean()


def serve_in_thread(machine: Machine, version: ModelVersion) -> None:
    try:
        serve(machine, version.id, 640)
    finally:
        connections.close_all()


def wait_for_listener() -> None:
    """Return when somebody listens for a ring here: other databases of the same Redis have listeners of their own."""
    client = doorbell.client()
    here = str(client.connection_pool.connection_kwargs["db"])
    wait_for(lambda: any(one["db"] == here and "b" in one["flags"] for one in client.client_list()), seconds=60)


def test_an_input_that_comes_a_moment_late_is_waited_for(
    machine: Machine, sub_token: SubToken, version: ModelVersion, monkeypatch: pytest.MonkeyPatch
) -> None:
    job, looks, look = queue_job(sub_token, version), [], blobs.get_many

    def look_and_store(ids: list[UUID]) -> list[bytes | None]:
        found = look(ids)
        looks.append(found)
        blobs.put(job.id, picture())
        return found

    monkeypatch.setattr(runner, "INPUT_PATIENCE_SECONDS", 60.0)
    monkeypatch.setattr(blobs, "get_many", look_and_store)
    run_jobs(machine, version.id, 640)
    assert looks == [[None], [picture()]]
    assert job_now(job).status == JobStatus.SUCCEEDED


def test_a_job_whose_input_comes_late_goes_back_and_keeps_nobody_waiting(
    machine: Machine, sub_token: SubToken, version: ModelVersion, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runner, "INPUT_LATE_SECONDS", 3600.0)
    slow, quick = queue_job(sub_token, version), queue_job(sub_token, version, content=picture())
    assert run_jobs(machine, version.id, 640) == 1
    assert job_now(quick).status == JobStatus.SUCCEEDED
    assert (job_now(slow).status, job_now(slow).attempts) == (JobStatus.QUEUED, 0)
    assert run_jobs(machine, version.id, 640) == 0
    blobs.put(slow.id, picture())
    assert run_jobs(machine, version.id, 640) == 1
    assert (job_now(slow).status, job_now(slow).attempts) == (JobStatus.SUCCEEDED, 1)
    assert_ledger_clean()


def test_a_worker_that_loses_redis_or_the_database_half_way_renews_no_lease_of_its_jobs(
    machine: Machine, sub_token: SubToken, version: ModelVersion, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_: object, **__: object) -> None:
        raise RedisConnectionError("away")

    monkeypatch.setattr(doorbell, "ring", lambda *_: None)
    job = queue_job(sub_token, version, content=picture())
    for broken in ("detection.services.blobs.get_many", "detection.services.settlement.settle"):
        with monkeypatch.context() as patch:
            patch.setattr(broken, away)
            with pytest.raises(RedisConnectionError):
                run_jobs(machine, version.id, 640)
        assert machine.claims() == []
        assert job_now(job).status == JobStatus.RUNNING, "nobody could tell the database"
        assert queue.requeue_lost(now=timezone.now() + machine.lease) == 1
    run_jobs(machine, version.id, 640)
    assert (job_now(job).status, job_now(job).attempts) == (JobStatus.SUCCEEDED, 3)
    assert_ledger_clean()
