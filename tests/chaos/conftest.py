"""Real worker and scheduler processes on the test's own database and Redis."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import quote

import pytest
import redis
from django.conf import settings
from django.db import connections

from billing.models import SubToken
from detection.enums import Engine
from detection.models import ModelVersion
from detection.queries import catalogue as reading
from detection.services import catalogue
from portal import processes
from tenants.scope import platform_scope
from tests.detection.conftest import METADATA
from tests.factories.jobs import make_spender

Process = subprocess.Popen[bytes]
# Of a worker that lives: one that gets no processor for a while keeps its jobs.
LEASE_SECONDS = 240
PATIENCE_SECONDS = 180
QUIET = ("--loglevel", "WARNING", "--without-gossip", "--without-mingle", "--without-heartbeat")
CELERY = ("--app", "portal.celery", "--quiet", "worker", *QUIET)


@pytest.fixture
def version(committed_db: None) -> Iterator[ModelVersion]:
    """Return the installed version of a model whose engine takes as long for a batch as its worker was told."""
    catalogue.sync()
    with platform_scope("test data"):
        version = catalogue.register_version(METADATA, path="", engine=Engine.NULL)
    yield version
    reading.forget()


@pytest.fixture
def sub_token(committed_db: None) -> SubToken:
    return make_spender(500_000)


@pytest.fixture
def start(committed_db: None, tmp_path: Path) -> Iterator[Callable[..., Process]]:
    """Start a Celery process with these arguments; all are gone after the test, and their logs shown if it fails."""
    started: list[Process] = []
    environment = {
        **os.environ,
        "DJANGO_SETTINGS_MODULE": "portal.settings",
        "DATABASE_URL": _database_url(),
        "REDIS_URL": settings.REDIS_URL,
        "ALLOW_NULL_ENGINE": "1",
        "JOB_LEASE_SECONDS": str(LEASE_SECONDS),
        "WARM_MODELS": "",
    }

    def start(*arguments: str, module: str = "celery", batch_seconds: float = 0) -> Process:
        command = [sys.executable, "-m", module, *CELERY, "--hostname", f"n{len(started)}@test", *arguments]
        env = environment | {"NULL_ENGINE_SECONDS": str(batch_seconds)}
        with (tmp_path / f"{len(started)}.log").open("wb") as log:
            process = processes.start(command, env=env, output=log)
        started.append(process)
        return process

    yield start
    for process in started:
        processes.stop(process)
    for log in sorted(tmp_path.glob("*.log")):
        print(f"--- {log.name}\n{log.read_text()}")


@pytest.fixture
def start_worker(start: Callable[..., Process]) -> Callable[..., Process]:
    """Start a worker that takes `batch_seconds` for each batch, and wait until it takes jobs.

    With `patient` it takes, for those that it has by then, until it is told to stop.
    """

    def start_worker(*, batch_seconds: float = 0.2, patient: bool = False) -> Process:
        known, module = set(_workers()), "tests.chaos.patient" if patient else "celery"
        process = start("--queues", "inference", module=module, batch_seconds=batch_seconds)
        wait_for(lambda: set(_workers()) - known)
        return process

    return start_worker


@pytest.fixture
def start_scheduler(start: Callable[..., Process], tmp_path: Path) -> Callable[[], Process]:
    beat = ("--beat", "--schedule", str(tmp_path / "beat"))
    return lambda: start("--queues", "maintenance", "--pool", "solo", *beat)


def wait_for(condition: Callable[[], object], *, seconds: float = PATIENCE_SECONDS) -> None:
    """Return as soon as `condition` holds; fail if it does not within `seconds`."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds} seconds"
        time.sleep(0.05)


def _workers() -> list[bytes]:
    with redis.Redis.from_url(settings.REDIS_URL, socket_timeout=PATIENCE_SECONDS) as client:
        return client.zrange("workers", 0, -1)


def _database_url() -> str:
    database = connections["default"].get_connection_params()
    host = quote(str(database.get("host", "")), safe="")
    return f"postgresql://{database['user']}@/{database['dbname']}?host={host}"
