"""The whole product in a folder of its own, as `make run` starts it, with one funded sub-token to call it by."""

from __future__ import annotations

import os
import socket
import sys
import tempfile
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import django
from django.core.management import call_command

from portal import processes
from portal.embedded import EmbeddedPostgres, EmbeddedRedis
from portal.local.database import embedded_database

READY_SECONDS = 120


@dataclass(frozen=True, slots=True)
class Stack:
    """Where the web side listens, the sub-token's secret, and the folder with the logs."""

    port: int
    secret: str
    directory: Path


@contextmanager
def running_stack(install: Callable[[Path], None], settings: Mapping[str, str] | None = None) -> Iterator[Stack]:
    """Start PostgreSQL (on disk, fsync on), Redis, web, worker and scheduler; stop them and drop the folder after.

    `install` is called with the data folder, in a platform scope, once Django is set up: it registers the model.
    `settings` are added to every process's environment. Use it once in a process: Django is set up for this database.
    """
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="tokensight-bench-")))
        postgres = EmbeddedPostgres(directory / "postgres")
        stack.callback(postgres.stop)
        redis = EmbeddedRedis(directory / "redis")
        stack.callback(redis.stop)
        urls = embedded_database(postgres)
        port = free_port()
        os.environ.update(
            DEVELOPMENT="1",
            DJANGO_SETTINGS_MODULE="portal.settings",
            DATABASE_URL=urls.app,
            DATABASE_OWNER_URL=urls.owner,
            REDIS_URL=redis.url(),
            TOKENSIGHT_DATA_DIR=str(directory),
            HOST="127.0.0.1",
            PORT=str(port),
            WEB_ACCESS_LOG="0",
            LOG_LEVEL="WARNING",
            **(settings or {}),
        )
        django.setup()
        call_command("migrate", database="owner", verbosity=0, interactive=False)
        secret = _prepare(install, directory)
        environment = {name: value for name, value in os.environ.items() if name != "DATABASE_OWNER_URL"}
        python = (sys.executable, "-m")
        alone = ("--without-gossip", "--without-mingle", "--without-heartbeat")
        celery = (*python, "celery", "--app", "portal.celery", "--quiet", "worker", "--loglevel", "WARNING", *alone)
        commands = {
            "web": (*python, "gunicorn", "--config", "deploy/gunicorn.conf.py", "portal.wsgi"),
            "worker": (*celery, "--queues", "inference", "--hostname", "worker@bench"),
            "scheduler": (*celery, "--queues", "maintenance", "--hostname", "scheduler@bench", "--pool", "solo",
                          "--beat", "--schedule", str(directory / "beat")),
        }  # fmt: skip
        for name, command in commands.items():
            start(stack, command, environment, directory / f"{name}.log")
        wait_until_answers(f"http://127.0.0.1:{port}/readyz", directory / "web.log")
        yield Stack(port, secret, directory)


def start(stack: ExitStack, command: tuple[str, ...], environment: Mapping[str, str], log: Path) -> None:
    """Start a process that ends with `stack`, its output in `log`."""
    with log.open("wb") as output:
        process = processes.start(command, env=environment, output=output)
    stack.callback(processes.stop, process)


def wait_until_answers(url: str, log: Path) -> None:
    """Return once `url` answers 200; after READY_SECONDS raise RuntimeError with the end of `log`."""
    deadline = time.monotonic() + READY_SECONDS
    while time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(url, timeout=5):
                return
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            time.sleep(0.2)
    raise RuntimeError(f"{url} does not answer:\n{log.read_text()[-4000:]}")


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def verify_ledger() -> None:
    """Raise RuntimeError unless every balance follows from the entries and no Token is held any more."""
    from django.utils import timezone

    from billing.models import Hold
    from billing.services import verify
    from tenants.scope import platform_scope

    report = verify.verify_ledger(now=timezone.now())
    with platform_scope("benchmark"):
        held = Hold.objects.filter(status="held").count()
    if not report.passed or held:
        raise RuntimeError(f"The ledger is off after the benchmark: {report.off}, {held} holds open")


def plan_without_bounds() -> str:
    """Return the key of a plan whose ceilings are counted like everybody's, and above all that can be measured."""
    from decimal import Decimal

    from django.utils import timezone

    from billing.services.plans import PlanOffer, set_plan

    offer = PlanOffer(
        name="Benchmark", requests_per_second=Decimal(100_000), concurrency=10_000, position=1000, listed=False
    )
    return set_plan(key="benchmark", terms=offer, now=timezone.now()).key


def _prepare(install: Callable[[Path], None], directory: Path) -> str:
    """Make the catalogue, an organization with more Tokens than a benchmark can spend, and a sub-token of it."""
    from django.utils import timezone

    from billing.enums import GrantSource
    from billing.services.accounts import open_wallet
    from billing.services.grants import issue_grant
    from billing.services.sub_tokens import create_sub_token
    from detection.services import catalogue
    from tenants.actors import PLATFORM
    from tenants.models import Organization
    from tenants.scope import organization_scope, platform_scope

    catalogue.sync()
    now = timezone.now()
    organization = Organization(id=uuid.uuid4(), name="Benchmark", slug="benchmark")
    with platform_scope("benchmark"):
        install(directory)
        organization.save(force_insert=True)
    open_wallet(organization.id, plan=plan_without_bounds())
    mtok = 10_000_000_000
    issue_grant(
        organization_id=organization.id,
        tokens_mtok=mtok,
        source=GrantSource.MANUAL,
        idempotency_key="benchmark",
        now=now,
    )
    with organization_scope(organization.id):
        issued = create_sub_token(organization_id=organization.id, name="Benchmark", mtok=mtok, actor=PLATFORM, now=now)
    return issued.secret
