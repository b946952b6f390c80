"""Batches that charge some and give back to others, settled in the same moment."""

from __future__ import annotations

import threading
from contextlib import suppress
from datetime import timedelta
from functools import partial

import pytest
from django.utils import timezone

from billing.models import SubToken
from billing.services import holds
from detection.enums import JobError, JobStatus
from detection.models import Job, ModelVersion
from detection.services import queue, settlement
from detection.services.settlement import Outcome
from tests.concurrency.racing import race
from tests.detection.conftest import version  # noqa: F401 a fixture
from tests.factories.billing import assert_ledger_clean, balance_of
from tests.factories.jobs import job_now, make_spender, queue_job

pytestmark = pytest.mark.concurrency


def test_two_batches_that_cross_do_not_stop_each_other(
    committed_db: None,
    version: ModelVersion,  # noqa: F811 the fixture
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    one, two = make_spender(), make_spender()
    batches = {"w1": _claimed(version, one, two, "w1"), "w2": _claimed(version, two, one, "w2")}
    both_have_captured = threading.Barrier(2)
    capture = holds.capture_holds

    def slow(**arguments: object) -> object:
        captured = capture(**arguments)  # type: ignore[arg-type]
        with suppress(threading.BrokenBarrierError):
            both_have_captured.wait(timeout=0.5)
        return captured

    monkeypatch.setattr(holds, "capture_holds", slow)
    race(partial(_settle, worker, *jobs) for worker, jobs in batches.items())

    for good, bad in batches.values():
        assert (job_now(good).status, job_now(bad).status) == (JobStatus.SUCCEEDED, JobStatus.FAILED)
    assert [balance_of(sub_token.account).posted_mtok for sub_token in (one, two)] == [49_300, 49_300]
    assert [balance_of(sub_token.account).held_mtok for sub_token in (one, two)] == [0, 0]
    assert_ledger_clean()


def _claimed(version: ModelVersion, good: SubToken, bad: SubToken, worker: str) -> tuple[Job, Job]:  # noqa: F811
    jobs = queue_job(good, version), queue_job(bad, version)
    lease = timedelta(seconds=60)
    claims = queue.claim(version_id=version.id, img_size=640, limit=8, worker=worker, lease=lease, now=timezone.now())
    assert {claim.job_id for claim in claims} == {job.id for job in jobs}
    return jobs


def _settle(worker: str, good: Job, bad: Job) -> None:
    outcomes = [Outcome(good.id, 1, []), Outcome(bad.id, 1, error_code=JobError.INVALID_IMAGE)]
    settlement.settle(outcomes=outcomes, worker=worker, now=timezone.now())
