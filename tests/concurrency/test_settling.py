"""Batches that charge some and give back to others, settled in the same moment."""

from __future__ import annotations

import json
import threading
from datetime import timedelta
from functools import partial

import psycopg
import pytest
from django.utils import timezone

from billing.models import SubToken
from detection.enums import JobError, JobStatus
from detection.models import Job, ModelVersion
from detection.services import queue, settlement
from detection.services.settlement import Outcome
from tenants.identifiers import new_id
from tests.concurrency.racing import connect, race, wait_until_somebody_waits_for
from tests.detection.conftest import version  # noqa: F401 a fixture
from tests.factories.billing import assert_ledger_clean, balance_of
from tests.factories.jobs import job_now, make_spender, queue_job

pytestmark = pytest.mark.concurrency


def test_two_batches_that_cross_do_not_stop_each_other(
    committed_db: None,
    version: ModelVersion,  # noqa: F811 the fixture
) -> None:
    """Each charges the account that the other gives back to; both have come to the locks before either gets one."""
    one, two = make_spender(), make_spender()
    batches = {"w1": _claimed(version, one, two, "w1"), "w2": _claimed(version, two, one, "w2")}
    with connect(owner=True) as gate, connect(owner=True) as watch:
        gate.execute("BEGIN")
        ids = [sub_token.account_id for sub_token in (one, two)]
        gate.execute("SELECT FROM billing_account WHERE id = ANY (%s) FOR UPDATE", [ids])

        def open_the_gate() -> None:
            wait_until_somebody_waits_for(gate.info.backend_pid, watch=watch, count=2)
            gate.execute("COMMIT")

        race([*(partial(_settle, worker, *jobs) for worker, jobs in batches.items()), open_the_gate])

    for good, bad in batches.values():
        assert (job_now(good).status, job_now(bad).status) == (JobStatus.SUCCEEDED, JobStatus.FAILED)
    assert [balance_of(sub_token.account).posted_mtok for sub_token in (one, two)] == [49_300, 49_300]
    assert [balance_of(sub_token.account).held_mtok for sub_token in (one, two)] == [0, 0]
    assert_ledger_clean()


def test_charging_and_then_giving_back_would_stop_each_other(
    committed_db: None,
    version: ModelVersion,  # noqa: F811 the fixture
) -> None:
    """The negative control: the same two steps, each of which takes its locks when its turn comes."""
    one, two = make_spender(), make_spender()
    batches = [_claimed(version, one, two, "w1"), _claimed(version, two, one, "w2")]
    first_has_charged = threading.Event()

    def settle_in_two_steps(good: Job, bad: Job, *, first: bool) -> str:
        items = json.dumps([{"hold_id": str(good.hold_id), "mtok": 700, "transfer_id": str(new_id())}])
        with connect(platform=True) as worker, connect(owner=True) as watch:
            if not first:
                assert first_has_charged.wait(timeout=60)
            try:
                with worker.transaction():
                    worker.execute("SELECT * FROM billing_capture_holds(%s, %s)", [items, timezone.now()])
                    if first:
                        first_has_charged.set()
                        wait_until_somebody_waits_for(worker.info.backend_pid, watch=watch)
                    release = "SELECT * FROM billing_release_holds(%s::uuid[], 'released', %s)"
                    worker.execute(release, [[bad.hold_id], timezone.now()])
            except psycopg.errors.DeadlockDetected:
                return "deadlock"
        return "settled"

    runners = [partial(settle_in_two_steps, *jobs, first=number == 0) for number, jobs in enumerate(batches)]
    assert race(runners) == {"settled": 1, "deadlock": 1}
    assert_ledger_clean()


def _claimed(version: ModelVersion, good: SubToken, bad: SubToken, worker: str) -> tuple[Job, Job]:  # noqa: F811
    jobs = queue_job(good, version), queue_job(bad, version)
    lease = timedelta(hours=1)
    claims = queue.claim(version_id=version.id, img_size=640, limit=8, worker=worker, lease=lease, now=timezone.now())
    assert {claim.job_id for claim in claims} == {job.id for job in jobs}
    return jobs


def _settle(worker: str, good: Job, bad: Job) -> None:
    outcomes = [Outcome(good.id, 1, []), Outcome(bad.id, 1, error_code=JobError.INVALID_IMAGE)]
    settlement.settle(outcomes=outcomes, worker=worker, now=timezone.now())
