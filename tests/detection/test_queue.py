"""Who gets which job, for how long, and what happens to the jobs of a worker that is gone."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from django.db import connection
from django.utils import timezone

from billing.models import SubToken
from detection.enums import JobError, JobStatus
from detection.models import Job, ModelVersion, VirtualTime
from detection.services import doorbell, queue, results
from detection.services.redis import client
from tenants.scope import platform_scope
from tests.factories.billing import assert_ledger_clean, balance_of
from tests.factories.jobs import job_now, make_spender, queue_job

pytestmark = pytest.mark.django_db
LEASE = timedelta(seconds=6)


@pytest.fixture
def sub_token(db: None) -> SubToken:
    return make_spender()


@pytest.fixture
def rings(monkeypatch: pytest.MonkeyPatch) -> list[tuple]:
    heard: list[tuple] = []
    monkeypatch.setattr(doorbell, "ring", lambda *kind: heard.append(kind))
    return heard


def claim(
    version: ModelVersion, limit: int = 8, *, worker: str = "w1", now: datetime | None = None
) -> list[queue.Claim]:
    return queue.claim(
        version_id=version.id, img_size=640, limit=limit, worker=worker, lease=LEASE, now=now or timezone.now()
    )


def test_a_claim_takes_its_kind_of_job_only(sub_token: SubToken, version: ModelVersion) -> None:
    wanted = queue_job(sub_token, version)
    queue_job(sub_token, version, img_size=320)
    queue_job(sub_token, version, status=JobStatus.CANCELLED)
    claims = claim(version)
    assert [(c.job_id, c.attempt) for c in claims] == [(wanted.id, 1)]
    assert claims[0].parameters == wanted.parameters
    taken = job_now(wanted)
    assert (taken.status, taken.worker) == (JobStatus.RUNNING, "w1")
    assert taken.queue_ms >= 0
    assert claim(version) == []


def test_a_claim_closes_the_platform_door_behind_itself(sub_token: SubToken, version: ModelVersion) -> None:
    queue_job(sub_token, version)
    assert len(claim(version)) == 1
    assert not Job.objects.exists()


def test_the_order_is_priority_then_fair_share(sub_token: SubToken, version: ModelVersion) -> None:
    late = queue_job(sub_token, version, virtual_finish=30)
    low = queue_job(sub_token, version, priority_class=2, virtual_finish=1)
    early = queue_job(sub_token, version, virtual_finish=10)
    high = queue_job(sub_token, version, priority_class=0, virtual_finish=99)
    assert [c.job_id for c in claim(version, 3)] == [high.id, early.id, late.id]
    assert [c.job_id for c in claim(version, 3)] == [low.id]


def test_virtual_time_follows_the_first_job_of_each_class_and_never_goes_back(
    sub_token: SubToken, version: ModelVersion
) -> None:
    for priority_class, finish in ((1, 50.0), (1, 40.0), (2, 7.0)):
        queue_job(sub_token, version, priority_class=priority_class, virtual_finish=finish)
    claim(version)
    assert dict(VirtualTime.objects.values_list("priority_class", "now")) == {0: 0.0, 1: 40.0, 2: 7.0}
    queue_job(sub_token, version, virtual_finish=20.0)
    claim(version)
    assert VirtualTime.objects.get(priority_class=1).now == 40.0


def test_what_was_not_started_goes_back_as_if_nothing_had_happened(sub_token: SubToken, version: ModelVersion) -> None:
    job = queue_job(sub_token, version)
    claims = claim(version)
    assert queue.give_back(claims=claims, worker="somebody else") == 0
    assert queue.give_back(claims=claims, worker="w1") == 1
    back = job_now(job)
    assert (back.status, back.worker, back.attempts, back.claimed_at) == (JobStatus.QUEUED, "", 0, None)


def test_a_renewed_lease_keeps_a_job(sub_token: SubToken, version: ModelVersion, rings: list) -> None:
    job, now = queue_job(sub_token, version), timezone.now()
    claims, later = claim(version, now=now), now + timedelta(seconds=4)
    assert queue.renew_leases(claims=claims, worker="w2", lease=LEASE, now=later) == 0
    assert queue.renew_leases(claims=claims, worker="w1", lease=LEASE, now=later) == 1
    assert queue.requeue_lost(now=now + timedelta(seconds=9)) == 0
    assert job_now(job).status == JobStatus.RUNNING


def test_no_job_is_held_for_ever(sub_token: SubToken, version: ModelVersion, settings) -> None:
    now = timezone.now()
    queue_job(sub_token, version)
    claims = claim(version, now=now)
    late = now + timedelta(seconds=settings.JOB_RUN_SECONDS + 1)
    assert queue.renew_leases(claims=claims, worker="w1", lease=LEASE, now=late) == 0


def test_a_claim_that_its_worker_does_not_know_of_is_lost(
    sub_token: SubToken, version: ModelVersion, rings: list
) -> None:
    known, unknown = queue_job(sub_token, version), queue_job(sub_token, version)
    now = timezone.now()
    claims = [one for one in claim(version, now=now) if one.job_id == known.id]
    stale = [queue.Claim(one.job_id, one.attempt + 1, {}) for one in claims]
    assert queue.renew_leases(claims=[], worker="w1", lease=LEASE, now=now) == 0
    assert queue.renew_leases(claims=stale, worker="w1", lease=LEASE, now=now) == 0
    assert queue.renew_leases(claims=claims, worker="w1", lease=LEASE, now=now + timedelta(seconds=4)) == 1
    assert queue.requeue_lost(now=now + timedelta(seconds=7)) == 1
    assert (job_now(known).status, job_now(unknown).status) == (JobStatus.RUNNING, JobStatus.QUEUED)


def test_a_lost_job_waits_again_and_rings(sub_token: SubToken, version: ModelVersion, rings: list) -> None:
    job, now = queue_job(sub_token, version), timezone.now()
    claim(version, now=now)
    assert queue.requeue_lost(now=now + timedelta(seconds=7)) == 1
    assert job_now(job).status == JobStatus.QUEUED
    assert rings == [(version.id, 640, 1)]
    (again,) = claim(version, worker="w2")
    assert again.attempt == 2
    assert balance_of(sub_token.account).held_mtok == 700


def test_after_the_last_attempt_it_fails_and_costs_nothing(
    sub_token: SubToken, version: ModelVersion, rings: list, settings
) -> None:
    job, now = queue_job(sub_token, version, content=b"x"), timezone.now()
    for _ in range(settings.JOB_ATTEMPTS):
        claim(version, now=now)
        now += timedelta(seconds=7)
        assert queue.requeue_lost(now=now) == 1
    failed = job_now(job)
    assert (failed.status, failed.error_code, failed.charged_mtok) == (JobStatus.FAILED, JobError.WORKER_LOST, 0)
    assert (balance_of(sub_token.account).held_mtok, balance_of(sub_token.account).posted_mtok) == (0, 50_000)
    assert results.wait(job.id, 1)["error"]["code"] == "worker_lost"
    assert not client().exists(f"input:{job.id}")
    assert_ledger_clean()


def test_a_job_that_waited_its_life_long_fails_and_costs_nothing(sub_token: SubToken, version: ModelVersion) -> None:
    job, fresh = queue_job(sub_token, version), queue_job(sub_token, version)
    with platform_scope("test"), connection.cursor() as cursor:
        cursor.execute("UPDATE detection_job SET created_at = now() - interval '1 day' WHERE id = %s", [job.id])
    assert queue.fail_overdue(now=timezone.now()) == 1
    assert (job_now(job).status, job_now(job).error_code) == (JobStatus.FAILED, JobError.TIMED_OUT)
    assert job_now(fresh).status == JobStatus.QUEUED
    assert balance_of(sub_token.account).held_mtok == 700


def test_jobs_that_nobody_heard_of_ring_again(sub_token: SubToken, version: ModelVersion, rings: list) -> None:
    now = timezone.now()
    queue_job(sub_token, version, now=now - timedelta(seconds=5))
    queue_job(sub_token, version, now=now - timedelta(seconds=5))
    queue_job(sub_token, version, now=now, img_size=320)
    assert queue.ring_for_waiting(now=now) == 1
    assert rings == [(version.id, 640, 1)]


def test_rings_for_one_kind_of_job_are_one_until_answered(
    version: ModelVersion, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[list] = []
    monkeypatch.setattr(doorbell, "UNANSWERED_MS", 3_600_000)
    monkeypatch.setattr(doorbell.current_app, "send_task", lambda name, args, **_: sent.append(args))
    for _ in range(5):
        doorbell.ring(version.id, 640)
    doorbell.ring(version.id, 320)
    assert sent == [[str(version.id), 640], [str(version.id), 320]]
    doorbell.answer(version.id, 640)
    doorbell.ring(version.id, 640)
    assert len(sent) == 3


def test_queues_see_no_other_scope(sub_token: SubToken, version: ModelVersion) -> None:
    queue_job(sub_token, version)
    claim(version)
    assert not Job.objects.exists()
