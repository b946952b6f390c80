"""`make run`: everything that the product needs, started in order, watched, and stopped without a trace.

PORT, HOST, TOKENSIGHT_DATA_DIR, DATABASE_URL, REDIS_URL, STRIPE_SECRET_KEY, STRIPE_PORT and ONCE are read from the
environment.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path

from portal import processes
from portal.embedded import EmbeddedPostgres, EmbeddedRedis, EmbeddedServerError
from portal.local import database, machine, payments, sample
from portal.local.report import Failure, colour, say, step
from portal.local.supervisor import Interrupted, Supervisor, interrupt_on_signals, python

BASE_DIR = Path(__file__).resolve().parent.parent.parent
READY_SECONDS = 120
# Workers meet in the database; to look for each other on the way up would only cost a second.
CELERY_OPTIONS = ("--without-gossip", "--without-mingle", "--without-heartbeat")
# What root is told by Celery, and what WhiteNoise misses where files are served from the sources.
QUIET_WARNINGS = "ignore:You're running the worker with superuser,ignore:No directory at"


def run() -> None:
    """Start everything and stay until a signal, or with ONCE=1 until the sample job is done. Raises Failure."""
    started = time.monotonic()
    host, port = os.environ.get("HOST", "127.0.0.1"), _port()
    data = machine.make_data_directory(Path(os.environ.get("TOKENSIGHT_DATA_DIR") or ".data"))
    with ExitStack() as stack:
        stack.enter_context(machine.sole_use(data, port))
        machine.require_free_port(host, port)
        stripe_port = payments.port_for(host, port)
        say(colour(f"Tokensight, data in {data}", "1"))
        urls = _start_postgres(stack, data)
        env = _environment(data, host, port, urls.app, _start_redis(stack, data))
        standin = payments.stand_in(data, host, stripe_port, env) if stripe_port else None
        env |= standin.env if standin else {}
        demo_file = _prepare(data, {**env, "DATABASE_OWNER_URL": urls.owner})
        supervisor = stack.enter_context(Supervisor(env))
        with step(f"Web, worker, scheduler{' and a stand-in for Stripe' if standin else ''}"):
            if standin:
                supervisor.start("stripe", standin.command)
            supervisor.start("web", python("-m", "gunicorn", "--config", "deploy/gunicorn.conf.py", "portal.wsgi"))
            celery = ("-m", "celery", "--app", "portal.celery", "--quiet", "worker", *CELERY_OPTIONS)
            supervisor.start("worker", python(*celery, "--queues", "inference", "--hostname", "worker@%h"))
            beat = ("--beat", "--schedule", str(data / "beat-schedule"))
            solo = ("--queues", "maintenance", "--hostname", "scheduler@%h", "--pool", "solo")
            supervisor.start("scheduler", python(*celery, *solo, *beat))
            _wait_until_ready(supervisor, env["BASE_URL"])
        demo_file = demo_file.replace(data / "demo.json")
        once = os.environ.get("ONCE", "") not in {"", "0"}
        try:
            sample.run(json.loads(demo_file.read_text()), env)
        except sample.Refused as refusal:
            if once:
                raise
            # Whoever tried what the product refuses sees it again after a restart, and can mend it there.
            say(f"The sample job was refused, and the product runs: {refusal}")
        say()
        say(f"Ready after {time.monotonic() - started:.1f} s: {colour(env['BASE_URL'], '1;4')}")
        say(f"Sign-in, keys and sub-tokens of the demo: {demo_file}")
        if standin:
            say(f"Buying takes test cards, and moves no money: {standin.url}")
        if once:
            return
        say("Ctrl-C stops everything.")
        supervisor.watch()


def _port() -> int:
    text = os.environ.get("PORT") or "8000"
    if not text.isdecimal() or not 0 < int(text) < 65536:
        raise Failure(f"PORT={text} is no port. Give a number from 1 to 65535: PORT=8000 make run")
    return int(text)


def _start_postgres(stack: ExitStack, data: Path) -> database.DatabaseUrls:
    if os.environ.get("DATABASE_URL"):
        with step("PostgreSQL at DATABASE_URL"):
            return database.given_database(data)
    with step("PostgreSQL, embedded"):
        server = EmbeddedPostgres(data / "postgres")
        stack.callback(server.stop)
        return database.embedded_database(server)


def _start_redis(stack: ExitStack, data: Path) -> str:
    if url := os.environ.get("REDIS_URL"):
        with step("Redis at REDIS_URL"):
            machine.require_redis(url)
        return url
    with step("Redis, embedded"):
        server = EmbeddedRedis(data / "redis")
        stack.callback(server.stop)
        return server.url()


def _environment(data: Path, host: str, port: int, database_url: str, redis_url: str) -> dict[str, str]:
    """Return the environment of every process: this one's, plus what the steps so far have found out."""
    machine.kept_secret(data / "secret-key")
    env = {
        "DEVELOPMENT": "1",
        "BASE_URL": f"http://localhost:{port}",
        "SECRET_KEY_FILE": str(data / "secret-key"),
        **os.environ,
        "HOST": host,
        "PORT": str(port),
        "DATABASE_URL": database_url,
        "REDIS_URL": redis_url,
        "TOKENSIGHT_DATA_DIR": str(data),
        "PROMETHEUS_MULTIPROC_DIR": str(machine.empty_directory(data / "metrics")),
        "PYTHONUNBUFFERED": "1",
        "PYTHONWARNINGS": QUIET_WARNINGS,
        "DJANGO_SETTINGS_MODULE": "portal.settings",
    }
    # Only the step that migrates may be the owner.
    env.pop("DATABASE_OWNER_URL", None)
    return env


def _prepare(data: Path, env: dict[str, str]) -> Path:
    """Bring the database up to date, and return the file of demo credentials under the name it has until all is ready.

    Scripts take `demo.json` as the sign that the product serves, so an earlier run's is put aside first.
    """
    ready, pending = data / "demo.json", data / "demo.json.new"
    if ready.exists():
        ready.replace(pending)
    process = processes.start(python("-m", "portal.local.prepare", str(pending)), env=env)
    try:
        status = process.wait()
    finally:
        processes.stop(process)
    if status:
        raise Failure("The database could not be brought up to date, for the reason above. Mend it and run again.")
    return pending


def _wait_until_ready(supervisor: Supervisor, base_url: str) -> None:
    deadline = time.monotonic() + READY_SECONDS
    while (missing := sample.not_ready(base_url)) is not None:
        supervisor.require_alive()
        if time.monotonic() > deadline:
            raise Failure(f"Not ready after {READY_SECONDS} seconds: {missing}. The logs above say more.")
        time.sleep(0.2)


def main() -> int:
    """Run, and return the exit status: 0 when stopped by a signal or done, 1 with a reason in a line or two."""
    if "MAKELEVEL" in os.environ:  # make was started for this one; without it nobody would be left to press Ctrl-C
        processes.die_with_parent(signal.SIGTERM)
    os.chdir(BASE_DIR)
    interrupt_on_signals()
    try:
        run()
    except Interrupted:
        say("Stopped.")
    except (Failure, EmbeddedServerError) as failure:
        say(f"{colour('Failed:', '1;31')} {failure}")
        return 1
    except subprocess.SubprocessError as error:
        say(f"{colour('Failed:', '1;31')} {error}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
