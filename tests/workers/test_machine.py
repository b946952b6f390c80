"""How a worker process says that it lives, and the tasks that the scheduler calls."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime

import pytest

from billing.services import holds
from detection.services import queue
from detection.services.redis import client
from portal.celery import app, broker_url
from tests.chaos.conftest import wait_for
from workers import tasks
from workers.machine import Machine


def test_a_running_worker_reports_and_a_stopped_one_is_gone(committed_db: None, settings) -> None:
    settings.WARM_MODELS = []
    machine = Machine()
    machine.start()
    key = f"worker:{machine.id}"
    wait_for(lambda: client().exists(key), seconds=10)
    assert 0 < client().ttl(key) <= 10
    assert json.loads(client().get(key))["models"] == []
    machine.stop()
    assert not client().exists(key)


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
    for entry in app.conf.beat_schedule.values():
        assert entry["task"] in app.tasks
        assert entry["options"]["queue"] == "maintenance"
    assert app.amqp.router.route({}, "workers.run_jobs")["queue"].name == "inference"
    assert app.conf.accept_content == ["json"]


@pytest.mark.django_db
def test_the_scheduled_tasks_run_on_an_empty_database() -> None:
    tasks.maintain()
    tasks.expire()
    tasks.nightly()


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
    tasks.maintain()
    assert done == names
