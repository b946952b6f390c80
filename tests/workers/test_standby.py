"""Calls while Redis is away: they pass, bounded, and cost what they always do."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from uuid import UUID

import pytest
from django.db import connections

from billing.models import SubToken
from billing.queries.credentials import Credential, credential_for_sub_token
from billing.services.redis import resume
from detection.enums import JobError, JobStatus
from detection.models import Job, ModelVersion, SpareInput
from detection.services import jobs, queue, spare_inputs, waiting
from detection.services import redis as detection_redis
from detection.services.run import Call, Outcome, Submission, detect
from tenants.api.problems import Problem
from tenants.models import Organization
from tenants.scope import organization_scope, platform_scope
from tests.concurrency.racing import race
from tests.detection.images import picture
from tests.factories.billing import assert_ledger_clean, balance_of
from tests.factories.jobs import job_now, make_spender, queue_job
from workers import standby
from workers.machine import Machine
from workers.runner import run_jobs, run_spare

pytestmark = pytest.mark.django_db
NOBODY = "redis://127.0.0.1:1/0"
SECONDS = 60


@pytest.fixture(autouse=True)
def _unhurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let nothing end because the worker, which says to nobody that it lives, gets no processor for a while."""
    monkeypatch.setattr(waiting, "GRACE_SECONDS", 600.0)
    monkeypatch.setattr(standby, "RECOVERY_SECONDS", 600.0)


@pytest.fixture
def away(settings, fresh_process: None) -> Iterator[None]:
    """Redis is away for this process."""
    url = settings.REDIS_URL
    lead_to(settings, NOBODY)
    yield
    lead_to(settings, url)


def lead_to(settings, url: str) -> None:
    settings.REDIS_URL = url
    detection_redis.client.cache_clear()
    resume()


def credential_of(sub_token: SubToken) -> Credential:
    with organization_scope(sub_token.organization_id):
        found = credential_for_sub_token(sub_token.organization_id, sub_token.id)
    assert found
    return found


def ask(sub_token: SubToken, *, wait_seconds: float = 0) -> Outcome:
    submission = Submission(picture(), {"model": "blank-n"})
    return detect(credential_of(sub_token), lambda: submission, Call(wait_seconds=wait_seconds))


def held_mtok(sub_token: SubToken) -> int:
    return balance_of(sub_token.account).held_mtok


@contextmanager
def standing_by(machine: Machine) -> Iterator[None]:
    """Have a worker that nobody can ring for."""
    standby.start(machine)
    try:
        yield
    finally:
        machine.stopping.set()
        for thread in threading.enumerate():
            if thread.name == "standby":
                thread.join(timeout=SECONDS)
                assert not thread.is_alive()


def spares() -> int:
    with platform_scope("look"):
        return SpareInput.objects.count()


def test_a_call_is_answered_and_charged_once(
    committed_db: None, away: None, machine: Machine, sub_token: SubToken, version: ModelVersion
) -> None:
    """The whole way: the caller waits, and a worker that nobody can ring for finds the job by itself."""

    with standing_by(machine):
        document = ask(sub_token, wait_seconds=SECONDS).document
    assert document["status"] == "succeeded"
    price_mtok = job_now(UUID(document["id"])).price_mtok
    assert document["usage"]["tokens"] == price_mtok / 1000 > 0
    balance = balance_of(sub_token.account)
    assert (balance.posted_mtok, balance.held_mtok) == (50_000 - price_mtok, 0)
    assert spares() == 0
    assert_ledger_clean()


def test_what_came_meanwhile_is_done_by_any_worker_once_redis_is_back(
    machine: Machine, sub_token: SubToken, version: ModelVersion, settings, fresh_process: None
) -> None:
    url = settings.REDIS_URL
    lead_to(settings, NOBODY)
    job_id = UUID(ask(sub_token).document["id"])
    lead_to(settings, url)
    assert run_jobs(machine, version.id, 640) == 1
    assert job_now(job_id).status == JobStatus.SUCCEEDED
    assert spare_inputs.sweep() == 1
    assert_ledger_clean()


def test_rings_are_answered_until_celery_is_there_again(
    committed_db: None, machine: Machine, sub_token: SubToken, version: ModelVersion, settings, fresh_process: None
) -> None:
    url = settings.REDIS_URL
    lead_to(settings, NOBODY)
    with standing_by(machine):
        assert ask(sub_token, wait_seconds=SECONDS).document["status"] == "succeeded"
        lead_to(settings, url)
        # No worker but this one's standby is there to hear it.
        assert ask(sub_token, wait_seconds=SECONDS).document["status"] == "succeeded"
    # A call that did not know yet that Redis is back has left its image; whoever hears the ring leaves it to the sweep.
    spare_inputs.sweep()
    assert spares() == 0
    assert_ledger_clean()


def test_beyond_the_bound_a_call_is_refused_and_costs_nothing(
    away: None, sub_token: SubToken, version: ModelVersion, settings
) -> None:
    settings.SPARE_INPUT_BYTES = 2 * len(picture()) - 1
    ask(sub_token)
    held = held_mtok(sub_token)
    with pytest.raises(Problem) as refused:
        ask(sub_token)
    assert (refused.value.code, refused.value.headers["Tokens-Used"]) == ("no_capacity", "0")
    assert held_mtok(sub_token) == held > 0
    assert spares() == 1


def test_an_organization_that_wants_no_uncounted_call_is_refused(
    away: None, sub_token: SubToken, version: ModelVersion
) -> None:
    with platform_scope("test data"):
        Organization.objects.filter(id=sub_token.organization_id).update(when_uncounted="refuse")
    with pytest.raises(Problem) as refused:
        ask(sub_token)
    assert refused.value.code == "no_capacity"
    assert spares() == 0
    assert held_mtok(sub_token) == 0


def test_a_place_is_free_again_when_the_answer_is_there(
    committed_db: None, away: None, machine: Machine, sub_token: SubToken, version: ModelVersion
) -> None:
    """Calls at a time are counted by this process alone then, and given back by it alone."""
    limited = make_spender()
    with organization_scope(limited.organization_id):
        SubToken.objects.filter(id=limited.id).update(concurrency=1)
    with standing_by(machine):
        assert [ask(limited, wait_seconds=SECONDS).document["status"] for _ in range(2)] == ["succeeded"] * 2


def test_a_job_that_is_taken_back_leaves_no_image(away: None, sub_token: SubToken, version: ModelVersion) -> None:
    job_id = UUID(ask(sub_token).document["id"])
    assert spare_inputs.sweep() == 0
    assert jobs.withdraw(sub_token.organization_id, job_id, status=JobStatus.CANCELLED)
    assert spare_inputs.sweep() == 1
    assert held_mtok(sub_token) == 0


def test_jobs_without_an_image_here_are_left_alone(
    away: None, machine: Machine, sub_token: SubToken, version: ModelVersion
) -> None:
    """Their images lie in Redis, which may only be out of reach."""
    job = queue_job(sub_token, version)
    assert run_spare(machine) == 0
    assert (job_now(job).status, job_now(job).attempts) == (JobStatus.QUEUED, 0)


def test_a_lost_worker_s_job_runs_again(
    away: None, machine: Machine, sub_token: SubToken, version: ModelVersion, monkeypatch: pytest.MonkeyPatch
) -> None:
    job_id = UUID(ask(sub_token).document["id"])
    with monkeypatch.context() as broken:
        broken.setattr("detection.services.settlement.settle", lambda **_: raise_(SystemExit))
        with pytest.raises(SystemExit):
            run_spare(machine)
    with platform_scope("its lease is over"):
        Job.objects.filter(id=job_id).update(lease_expires_at=job_now(job_id).created_at)
    standby._maintain()
    assert run_spare(machine) == 1
    assert (job_now(job_id).status, job_now(job_id).attempts) == (JobStatus.SUCCEEDED, 2)
    assert balance_of(sub_token.account).posted_mtok == 50_000 - job_now(job_id).price_mtok
    assert_ledger_clean()


def raise_(error: type[BaseException]) -> None:
    raise error


def test_two_workers_take_each_job_once(
    committed_db: None, away: None, machine: Machine, sub_token: SubToken, version: ModelVersion
) -> None:
    asked = [UUID(ask(sub_token).document["id"]) for _ in range(12)]

    def claim() -> int:
        try:
            now = job_now(asked[0]).created_at
            return len(
                queue.claim_spare(
                    version_id=version.id, img_size=640, limit=3, worker="w", lease=machine.lease, now=now
                )
            )
        finally:
            connections.close_all()

    assert sum(number * times for number, times in race([claim] * 6).items()) == 12
    with platform_scope("look"):
        assert set(Job.objects.values_list("status", "attempts")) == {("running", 1)}


def test_a_full_redis_is_not_passed_by(sub_token: SubToken, version: ModelVersion, settings) -> None:
    """Its bound is meant; only a Redis that does not answer is stood in for."""
    settings.MAX_INPUT_BYTES_IN_FLIGHT = 10
    with pytest.raises(Problem) as refused:
        ask(sub_token)
    assert refused.value.code == "no_capacity"
    assert spares() == 0
    with platform_scope("look"):
        assert Job.objects.get().error_code == JobError.NO_CAPACITY
