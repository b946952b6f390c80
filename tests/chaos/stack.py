"""The product's five processes: each can be killed at any moment, and is started again as `make run` does it."""

from __future__ import annotations

import os
import random
import signal
import sys
import tempfile
import time
import urllib.request
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import psutil
import psycopg
from django.core.management import call_command

from portal import processes
from portal.embedded import EmbeddedPostgres, EmbeddedRedis
from portal.local.database import embedded_database
from tests.migrated import DUMP, restore
from tests.ports import free_port

# What may be killed. Of web also one of its processes alone, of PostgreSQL also the process of one connection.
VICTIMS = ("web", "web process", "worker", "scheduler", "postgres", "postgres connection", "redis")
SETTINGS = {
    "ALLOW_NULL_ENGINE": "1",
    "NULL_ENGINE_SECONDS": "0.05",
    "WARM_MODELS": "",
    "WEB_ACCESS_LOG": "0",
    "LOG_LEVEL": "WARNING",
}


class Stack:
    """PostgreSQL (on disk, fsync on), Redis, web, worker and scheduler in a folder of their own.

    Making one puts where they are into this process's environment, with `settings`, for Django to be set up by.
    """

    def __init__(self, **settings: str) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="tokensight-chaos-")
        self.directory = Path(self._folder.name)
        self.port = free_port()
        self.kills: Counter[str] = Counter()
        self.ended_alone: Counter[str] = Counter()
        self._postgres = EmbeddedPostgres(self.directory / "postgres")
        self._redis = EmbeddedRedis(self.directory / "redis")
        urls = embedded_database(self._postgres)
        self.owner_url = urls.owner
        os.environ.update(
            SETTINGS | settings,
            DEVELOPMENT="1",
            DJANGO_SETTINGS_MODULE="portal.settings",
            DATABASE_URL=urls.app,
            DATABASE_OWNER_URL=urls.owner,
            REDIS_URL=self._redis.url(),
            TOKENSIGHT_DATA_DIR=str(self.directory),
            HOST="127.0.0.1",
            PORT=str(self.port),
        )
        self._environment = {name: value for name, value in os.environ.items() if name != "DATABASE_OWNER_URL"}
        python = (sys.executable, "-m")
        alone = ("--without-gossip", "--without-mingle", "--without-heartbeat")
        celery = (*python, "celery", "--app", "portal.celery", "--quiet", "worker", "--loglevel", "WARNING", *alone)
        self._commands = {
            "web": (*python, "gunicorn", "--config", "deploy/gunicorn.conf.py", "portal.wsgi"),
            "worker": (*celery, "--queues", "inference", "--hostname", "worker@chaos"),
            "scheduler": (*celery, "--queues", "maintenance", "--hostname", "scheduler@chaos", "--pool", "solo",
                          "--beat", "--schedule", str(self.directory / "beat")),
        }  # fmt: skip
        self._running: dict[str, processes.subprocess.Popen[bytes]] = {}

    def migrate(self) -> None:
        """Bring the database up to date, from a dump where there is one; Django must be set up."""
        if dump := os.environ.get(DUMP):
            restore(Path(dump), self.owner_url)
        call_command("migrate", database="owner", verbosity=0, interactive=False)

    def start(self) -> None:
        """Start what serves; the database must have been migrated by now."""
        for name in self._commands:
            self._launch(name)

    def _launch(self, name: str) -> None:
        with (self.directory / f"{name}.log").open("ab") as log:
            self._running[name] = processes.start(self._commands[name], env=self._environment, output=log)

    def kill(self, victim: str, chance: random.Random) -> bool:
        """Kill a process without warning, and start again what does not come back by itself; False if there is none."""
        match victim:
            case "postgres":
                _kill(self._postgres.pid)
                self._postgres.stop()
                self._postgres = EmbeddedPostgres(self.directory / "postgres")
            case "redis":
                _kill(self._redis.pid)
                self._redis.stop()
                self._redis = EmbeddedRedis(self.directory / "redis")
            case "postgres connection":
                if (pid := self._some_connection(chance)) is None:
                    return False
                _kill(pid)
            case "web process":
                children = psutil.Process(self._running["web"].pid).children()
                if not children:
                    return False
                _kill(chance.choice(children).pid)
            case _:
                _kill(self._running[victim].pid)
                processes.stop(self._running[victim])  # what it had started itself and left behind
                self._launch(victim)
        self.kills[victim] += 1
        return True

    def _some_connection(self, chance: random.Random) -> int | None:
        try:
            with psycopg.connect(self.owner_url, connect_timeout=5) as connection:
                pids = connection.execute(
                    "SELECT pid FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()"
                ).fetchall()
        except psycopg.OperationalError:  # still recovering from the last one
            return None
        return int(chance.choice(pids)[0]) if pids else None

    def look_after(self) -> None:
        """Start again what ended by itself, as the supervisor of `make run` does."""
        for name, process in self._running.items():
            if process.poll() is not None:
                self.ended_alone[name] += 1
                processes.stop(process)
                self._launch(name)

    def wait_until(self, condition: Callable[[], bool], what: str, seconds: float) -> float:
        """Return after how many seconds `condition` held; raise RuntimeError with the logs if it does not in time."""
        began = time.monotonic()
        while not condition():
            self.look_after()
            if time.monotonic() > began + seconds:
                raise RuntimeError(f"{what}: not within {seconds:.0f} seconds\n{self.logs()}")
            time.sleep(0.2)
        return time.monotonic() - began

    def ready(self) -> bool:
        """Say whether the product says of itself that it can serve."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/readyz", timeout=10) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    def logs(self) -> str:
        """Return the end of every log."""
        found = sorted(self.directory.glob("*.log"))
        return "\n".join(f"--- {log.name}\n{log.read_text(errors='replace')[-3000:]}" for log in found)

    def stop(self) -> None:
        """End everything and drop the folder."""
        for process in self._running.values():
            processes.stop(process)
        self._redis.stop()
        self._postgres.stop()
        self._folder.cleanup()


def _kill(pid: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
