"""A batch is charged once, whatever happens around it."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from billing.models import Hold, SubToken, Transfer
from billing.services import holds
from detection.enums import JobError, JobStatus
from detection.models import ModelVersion
from detection.services import doorbell, queue, results, settlement
from detection.services.settlement import Outcome
from tenants.scope import platform_scope
from tests.factories.billing import assert_ledger_clean, balance_of
from tests.factories.jobs import job_now, make_spender, queue_job

pytestmark = pytest.mark.django_db
FOUND = [{"class_id": 0, "class_name": "open", "confidence": 0.9, "bbox": [1.0, 2.0, 3.0, 4.0]}]


@pytest.fixture(autouse=True)
def _no_rings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doorbell, "ring", lambda *kind: None)


@pytest.fixture
def sub_token(db: None) -> SubToken:
    return make_spender()


def claim(version: ModelVersion, worker: str = "w1") -> list[queue.Claim]:
    return queue.claim(
        version_id=version.id, img_size=640, limit=8, worker=worker, lease=timedelta(seconds=6), now=timezone.now()
    )


def settle(outcomes: list[Outcome], worker: str = "w1") -> list[dict]:
    return settlement.settle(outcomes=outcomes, worker=worker, now=timezone.now())


def captures() -> int:
    with platform_scope("test"):
        return Transfer.objects.filter(kind="capture").count()


def test_a_success_is_charged_and_published(sub_token: SubToken, version: ModelVersion) -> None:
    job = queue_job(sub_token, version)
    claim(version)
    (document,) = settle([Outcome(job.id, 1, FOUND, 80, 60, 12.5)])
    done = job_now(job)
    assert (done.status, done.charged_mtok, done.prediction_count) == (JobStatus.SUCCEEDED, 700, 1)
    assert (done.result, done.image_width, done.image_height, done.inference_ms) == (FOUND, 80, 60, 12.5)
    assert done.total_ms >= 0
    assert done.lease_expires_at is None
    assert (balance_of(sub_token.account).posted_mtok, balance_of(sub_token.account).held_mtok) == (49_300, 0)
    assert document["usage"]["tokens"] == 0.7
    assert document["usage"]["remaining_tokens"] == 49.3
    assert results.wait(job.id, 1) == document
    assert_ledger_clean()


def test_one_bad_item_fails_alone(sub_token: SubToken, version: ModelVersion) -> None:
    good, bad = queue_job(sub_token, version), queue_job(sub_token, version)
    claim(version)
    settle(
        [
            Outcome(bad.id, 1, error_code=JobError.INVALID_IMAGE, error_detail="The image is broken or cut off."),
            Outcome(good.id, 1, [], 64, 48, 5.0),
        ]
    )
    assert (job_now(good).status, job_now(good).prediction_count) == (JobStatus.SUCCEEDED, 0)
    failed = job_now(bad)
    assert (failed.status, failed.error_code, failed.charged_mtok) == (JobStatus.FAILED, JobError.INVALID_IMAGE, 0)
    assert (balance_of(sub_token.account).posted_mtok, balance_of(sub_token.account).held_mtok) == (49_300, 0)
    assert_ledger_clean()


def test_a_batch_of_several_organizations_charges_each(sub_token: SubToken, version: ModelVersion) -> None:
    other = make_spender(10_000)
    jobs = [queue_job(sub_token, version), queue_job(other, version, price_mtok=1800)]
    claim(version)
    documents = settle([Outcome(job.id, 1, FOUND, 64, 48, 5.0) for job in jobs])
    assert {d["id"]: d["usage"]["remaining_tokens"] for d in documents} == {
        str(jobs[0].id): 49.3,
        str(jobs[1].id): 8.2,
    }
    assert_ledger_clean()


def test_settling_twice_charges_once(sub_token: SubToken, version: ModelVersion) -> None:
    job = queue_job(sub_token, version)
    claim(version)
    assert len(settle([Outcome(job.id, 1, FOUND, 64, 48, 5.0)])) == 1
    assert settle([Outcome(job.id, 1, [], 64, 48, 5.0)]) == []
    assert job_now(job).result == FOUND
    assert captures() == 1


def test_a_worker_that_lost_its_job_settles_nothing(sub_token: SubToken, version: ModelVersion) -> None:
    job = queue_job(sub_token, version)
    claim(version)
    queue.requeue_lost(now=timezone.now() + timedelta(seconds=7))
    assert settle([Outcome(job.id, 1, FOUND, 64, 48, 5.0)]) == []
    assert job_now(job).status == JobStatus.QUEUED

    claim(version, worker="w2")
    assert settle([Outcome(job.id, 1, FOUND, 64, 48, 5.0)]) == []
    assert captures() == 0
    assert len(settle([Outcome(job.id, 2, [], 64, 48, 5.0)], worker="w2")) == 1
    assert (job_now(job).result, captures()) == ([], 1)
    assert_ledger_clean()


def test_the_same_worker_with_an_older_attempt_settles_nothing(sub_token: SubToken, version: ModelVersion) -> None:
    job = queue_job(sub_token, version)
    claim(version)
    queue.requeue_lost(now=timezone.now() + timedelta(seconds=7))
    claim(version)
    assert settle([Outcome(job.id, 1, FOUND, 64, 48, 5.0)]) == []
    assert job_now(job).status == JobStatus.RUNNING


def test_a_hold_that_ran_out_is_not_charged_and_its_job_fails(sub_token: SubToken, version: ModelVersion) -> None:
    job = queue_job(sub_token, version)
    claim(version)
    holds.expire_overdue_holds(now=timezone.now() + timedelta(hours=1))
    (document,) = settle([Outcome(job.id, 1, FOUND, 64, 48, 5.0)])
    assert (document["status"], document["error"]["code"]) == ("failed", "timed_out")
    assert document["predictions"] is None
    done = job_now(job)
    assert (done.status, done.charged_mtok, done.result) == (JobStatus.FAILED, 0, None)
    assert balance_of(sub_token.account).posted_mtok == 50_000
    with platform_scope("test"):
        assert Hold.objects.get(id=job.hold_id).status == "expired"
    assert_ledger_clean()


def test_redis_away_loses_no_settlement(
    sub_token: SubToken, version: ModelVersion, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = queue_job(sub_token, version)
    claim(version)

    def away(*_: object) -> None:
        raise settlement.RedisError("gone")

    monkeypatch.setattr(results, "publish", away)
    settle([Outcome(job.id, 1, FOUND, 64, 48, 5.0)])
    assert job_now(job).status == JobStatus.SUCCEEDED
