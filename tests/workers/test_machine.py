"""How a worker process says that it lives, and the tasks that the scheduler calls."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable
from datetime import datetime

import pytest
import structlog
from redis.exceptions import ConnectionError as RedisConnectionError

from billing.models import LedgerCheck
from billing.queries.verification import LedgerTotals
from billing.services import holds
from billing.services.verify import LedgerReport, OrganizationReport
from detection.services import liveness, queue
from detection.services.redis import client
from portal.celery import app, broker_url
from tenants.scope import organization_scope
from tenants.services.audit_verify import AuditReport
from tests.chaos.conftest import wait_for
from tests.factories.tenants import make_organization
from tests.workers.locks import WatchedLock
from workers import tasks
from workers.machine import Machine

SECONDS = 60


def test_a_running_worker_reports_and_a_stopped_one_is_gone(committed_db: None, settings) -> None:
    settings.WARM_MODELS, settings.JOB_LEASE_SECONDS = [], 3600.0
    machine = Machine()
    machine.start()
    wait_for(lambda: machine.id in liveness.living(), seconds=SECONDS)
    assert liveness.reports()[machine.id]["models"] == []
    machine.stop()
    assert machine.id not in liveness.living()


def test_a_worker_that_stops_while_it_reports_stays_gone(settings, monkeypatch: pytest.MonkeyPatch) -> None:
    settings.JOB_LEASE_SECONDS = 3600.0
    machine, report, sign_off = Machine(), liveness.report, liveness.sign_off
    machine._voice = voice = WatchedLock()  # type: ignore[assignment]
    reporting = threading.Event()

    def slow(*arguments: object, **options: object) -> None:
        reporting.set()
        # Until whoever stops the worker waits for this report, or, if nobody made it wait, has signed it off.
        assert voice.wanted.acquire(timeout=SECONDS)
        report(*arguments, **options)  # type: ignore[arg-type]

    def signed_off(worker_id: str) -> None:
        sign_off(worker_id)
        voice.wanted.release()

    monkeypatch.setattr(liveness, "report", slow)
    monkeypatch.setattr(liveness, "sign_off", signed_off)
    beat = threading.Thread(target=machine._say_alive)
    beat.start()
    assert reporting.wait(SECONDS)
    machine.stop()
    beat.join()
    assert machine.id not in liveness.living()
    machine._say_alive()
    assert machine.id not in liveness.living()


@pytest.mark.parametrize(("lease_seconds", "alive_seconds"), [(6.0, 10), (60.0, 100), (0.3, 1)])
def test_however_long_its_lease_a_worker_may_miss_some_beats_before_it_is_taken_for_dead(
    lease_seconds: float, alive_seconds: int, settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.JOB_LEASE_SECONDS = lease_seconds
    said: list[int] = []
    monkeypatch.setattr(liveness, "report", lambda *_, seconds: said.append(seconds))
    machine = Machine()
    machine._say_alive()
    assert said == [alive_seconds]
    assert alive_seconds >= 3 * machine.beat_seconds


def test_leases_are_renewed_while_redis_is_away(committed_db: None, settings, monkeypatch) -> None:
    settings.WARM_MODELS, settings.JOB_LEASE_SECONDS = [], 0.3
    renewed: list[str] = []

    def away(*_: object, **__: object) -> None:
        raise RedisConnectionError("away")

    monkeypatch.setattr(liveness, "report", away)
    monkeypatch.setattr(liveness, "sign_off", away)
    monkeypatch.setattr(queue, "renew_leases", lambda *, worker, **_: renewed.append(worker))
    machine = Machine()
    machine.start()
    wait_for(lambda: len(renewed) >= 3, seconds=SECONDS)
    machine.stop()
    assert set(renewed) == {machine.id}


def test_a_worker_that_says_nothing_more_is_taken_for_dead() -> None:
    liveness.report("talking", {}, seconds=3600)
    liveness.report("silent", {}, seconds=1)
    wait_for(lambda: "silent" not in liveness.living(), seconds=SECONDS)
    assert liveness.living() == ["talking"]
    assert liveness.reports().keys() == {"talking"}
    liveness.report("other", {}, seconds=3600)
    assert client().zscore("workers", "silent") is None


def test_no_two_workers_have_the_same_name() -> None:
    assert Machine().id != Machine().id


@pytest.mark.parametrize(
    ("redis", "broker"),
    [
        ("redis://localhost:6379/0", "redis://localhost:6379/0"),
        ("rediss://:secret@cache:6380/1", "rediss://:secret@cache:6380/1"),
        ("unix:///tmp/redis.sock?db=3", "redis+socket:///tmp/redis.sock?virtual_host=3"),
        ("unix:///tmp/redis.sock", "redis+socket:///tmp/redis.sock?virtual_host=0"),
    ],
)
def test_the_broker_is_redis(redis: str, broker: str) -> None:
    assert broker_url(redis) == broker


def test_every_scheduled_task_exists_and_goes_to_the_scheduler() -> None:
    app.loader.import_default_modules()
    for entry in app.conf.beat_schedule.values():
        assert entry["task"] in app.tasks
        assert entry["options"]["queue"] == "maintenance"
    assert app.amqp.router.route({}, "workers.run_jobs")["queue"].name == "inference"
    assert app.conf.accept_content == ["json"]


@pytest.mark.django_db
def test_the_scheduled_tasks_run_on_an_empty_database() -> None:
    tasks.maintain()
    tasks.expire()


def test_the_scheduler_does_not_wait_for_the_night_s_work(monkeypatch: pytest.MonkeyPatch) -> None:
    begun, go_on, calls = threading.Event(), threading.Event(), []

    def verify(*, now: datetime) -> LedgerReport:
        calls.append(now)
        begun.set()
        assert go_on.wait(SECONDS)
        return LedgerReport(1, LedgerTotals(), 1, [OrganizationReport(uuid.uuid4(), "alpha", [])])

    monkeypatch.setattr(tasks, "forget_old_answers", lambda now: None)
    monkeypatch.setattr(tasks, "verify_ledger", verify)
    monkeypatch.setattr(tasks, "verify_usage", lambda now: {"gamma": ["day"]})
    monkeypatch.setattr(tasks, "verify_audit", lambda now, each: AuditReport(1, 9, 2, {"beta": None}))
    with structlog.testing.capture_logs() as logs:
        tasks.nightly()
        assert begun.wait(SECONDS)
        (night,) = [thread for thread in threading.enumerate() if thread.name == "night"]
        tasks.nightly()
        go_on.set()
        night.join(SECONDS)
    assert len(calls) == 1
    assert [line["event"] for line in logs] == [
        "night_work_still_running", "ledger_off", "usage_off", "audit_log_off"
    ]  # fmt: skip
    assert [line["organizations"] for line in logs[1:]] == [["alpha"], ["gamma"], ["beta"]]


def test_a_night_that_fails_is_logged_and_the_next_one_verifies(
    committed_db: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    organization = make_organization("Alpha")

    def one_night() -> list[str]:
        with structlog.testing.capture_logs() as logs:
            tasks.nightly()
            for thread in threading.enumerate():
                if thread.name == "night":
                    thread.join(2 * SECONDS)
        return [line["event"] for line in logs if line["log_level"] != "debug"]

    with monkeypatch.context() as patch:
        patch.setattr(tasks, "forget_old_answers", lambda now: 1 / 0)
        assert one_night() == ["night_work_failed"]
    assert one_night() == ["audit_chain"], "the end of each chain is told, and nothing is off"
    with organization_scope(organization.id):
        assert LedgerCheck.objects.get().discrepancies == []


def test_one_part_of_the_maintenance_that_fails_keeps_none_of_the_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[str] = []

    def step(name: str) -> Callable[..., None]:
        def run(*, now: datetime) -> None:
            done.append(name)
            raise RuntimeError(name)

        return run

    names = ["requeue_lost", "fail_overdue", "expire_overdue_holds", "ring_for_waiting"]
    for name in names:
        monkeypatch.setattr(holds if "holds" in name else queue, name, step(name))
    monkeypatch.setattr(tasks, "seal_events", step("seal_events"))
    tasks.maintain()
    assert done == [*names, "seal_events"]
