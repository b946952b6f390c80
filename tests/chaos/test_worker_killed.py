"""A worker that dies in the middle of a batch loses no job, charges none twice and leaves no Token held."""

from __future__ import annotations

import signal
import subprocess
from collections import Counter
from collections.abc import Callable
from datetime import datetime, timedelta
from uuid import UUID

import pytest
from django.conf import settings
from django.utils import timezone

from billing.models import Hold, SubToken, Transfer
from detection.enums import FINISHED, JobStatus
from detection.models import Job, ModelVersion
from detection.services import doorbell
from portal.celery import app
from tenants.scope import platform_scope
from tests.chaos.conftest import LEASE_SECONDS, PATIENCE_SECONDS, wait_for
from tests.detection.images import picture
from tests.factories.billing import assert_ledger_clean, balance_of
from tests.factories.jobs import queue_job

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
Process = subprocess.Popen[bytes]
PICTURE = picture("JPEG")
ROUNDS, JOBS = 3, 30


def send(sub_token: SubToken, version: ModelVersion, count: int) -> list[Job]:
    jobs = [queue_job(sub_token, version, content=PICTURE) for _ in range(count)]
    for _ in range(4):
        doorbell.answer(version.id, 640)
        doorbell.ring(version.id, 640)
    return jobs


def rows(jobs: list[Job]) -> list[Job]:
    with platform_scope("test"):
        return list(Job.objects.filter(id__in=[job.id for job in jobs]))


def running(jobs: list[Job], process: Process) -> list[Job]:
    return [job for job in rows(jobs) if job.status == JobStatus.RUNNING and f":{process.pid}:" in job.worker]


def all_finished(jobs: list[Job]) -> bool:
    return all(job.status in FINISHED for job in rows(jobs))


def assert_each_charged_once(sub_token: SubToken, jobs: list[Job]) -> None:
    with platform_scope("test"):
        references = sorted(Transfer.objects.filter(kind="capture").values_list("reference", flat=True))
        assert references == sorted(str(job.id) for job in jobs)
        assert not Hold.objects.filter(status="held").exists()
    assert balance_of(sub_token.account).posted_mtok == 500_000 - 700 * len(jobs)
    assert balance_of(sub_token.account).held_mtok == 0
    assert_ledger_clean()


def expire_leases(jobs: list[Job], killed_at: datetime) -> None:
    """Let the time pass after which a dead worker's jobs are others', once it is seen that it comes."""
    for job in jobs:
        assert job.lease_expires_at is not None
        assert job.lease_expires_at <= killed_at + timedelta(seconds=LEASE_SECONDS)
    with platform_scope("time passes"):
        Job.objects.filter(id__in=[job.id for job in jobs]).update(lease_expires_at=killed_at)


def test_a_killed_workers_jobs_run_again_and_are_charged_once(
    sub_token: SubToken,
    version: ModelVersion,
    start_worker: Callable[..., Process],
    start_scheduler: Callable[[], Process],
) -> None:
    start_scheduler()
    survivor = start_worker()
    everything: list[Job] = []
    for _ in range(ROUNDS):
        victim = start_worker(batch_seconds=3600)
        jobs = send(sub_token, version, JOBS)

        def taken(jobs: list[Job] = jobs, victim: Process = victim) -> list[Job]:
            if all_finished(jobs):
                # The other was quicker, and took them all.
                jobs += send(sub_token, version, JOBS)
            return running(jobs, victim)

        wait_for(taken)
        victim.send_signal(signal.SIGKILL)
        victim.wait()
        killed_at: datetime = timezone.now()
        everything += jobs
        orphans: set[UUID] = set()

        def given_over(
            jobs: list[Job] = jobs,
            victim: Process = victim,
            killed_at: datetime = killed_at,
            orphans: set[UUID] = orphans,
        ) -> bool:
            # Again and again: the database may be giving it a job at the moment when it dies, and a moment later.
            lost = [job for job in running(jobs, victim) if job.id not in orphans]
            expire_leases(lost, killed_at)
            orphans.update(job.id for job in lost)
            return all_finished(jobs)

        wait_for(given_over)
        after = rows(jobs)
        assert {job.status for job in after} == {JobStatus.SUCCEEDED}
        assert orphans
        assert {job.id for job in after if job.attempts == 2} == orphans
        assert {job.attempts for job in after} == {1, 2}
        assert all(f":{survivor.pid}:" in job.worker for job in after)
        assert_each_charged_once(sub_token, everything)


def test_a_dead_workers_jobs_are_anothers_within_fifteen_seconds() -> None:
    """The bound without a clock: a lease is over so long after its last renewal, as seen above; then a round finds it.

    A round that could not begin is left out and the next one comes; a third of the bound is left for the claim.
    """
    maintain = app.conf.beat_schedule["maintain"]
    assert maintain["task"] == "workers.maintain"
    assert settings.JOB_LEASE_SECONDS + 2 * maintain["schedule"] <= 15 * 2 / 3


def test_a_worker_told_to_stop_finishes_its_batch_and_leaves_the_rest_to_others(
    sub_token: SubToken, version: ModelVersion, start_worker: Callable[..., Process]
) -> None:
    """openmeter PR#4902: 77 seconds of usage lost while the nodes were rolled over."""
    leaving = start_worker(patient=True)
    jobs = send(sub_token, version, JOBS)
    wait_for(lambda: running(jobs, leaving))
    leaving.send_signal(signal.SIGTERM)
    assert leaving.wait(PATIENCE_SECONDS) == 0
    left = Counter((job.status, job.attempts) for job in rows(jobs))
    assert left.keys() == {(JobStatus.SUCCEEDED, 1), (JobStatus.QUEUED, 0)}
    # What it had in hand, and no batch more.
    assert left[JobStatus.SUCCEEDED, 1] <= settings.WORKER_THREADS * settings.INFERENCE_BATCH_SIZE

    start_worker(batch_seconds=0)
    wait_for(lambda: all_finished(jobs))
    assert {job.attempts for job in rows(jobs)} == {1}
    assert_each_charged_once(sub_token, jobs)


def test_a_flushed_redis_costs_no_token(
    sub_token: SubToken,
    version: ModelVersion,
    start_worker: Callable[..., Process],
    start_scheduler: Callable[[], Process],
) -> None:
    start_worker()
    jobs = [queue_job(sub_token, version, content=PICTURE) for _ in range(4)]
    doorbell.client().flushdb()
    # Doorbells and inputs are gone; the scheduler finds the jobs, and they fail at no cost.
    start_scheduler()
    wait_for(lambda: all_finished(jobs))
    assert {job.error_code for job in rows(jobs)} == {"input_lost"}
    assert balance_of(sub_token.account).posted_mtok == 500_000
    assert balance_of(sub_token.account).held_mtok == 0
    again = send(sub_token, version, 4)
    wait_for(lambda: all_finished(again))
    assert_each_charged_once(sub_token, again)
