"""A pytest plugin, loaded before Django's settings: starts PostgreSQL and Redis once and shares them with all workers.

`DATABASE_OWNER_URL` / `REDIS_URL`, when set, are used instead.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

import psycopg
import pytest

from portal.embedded import EmbeddedPostgres, EmbeddedRedis

_started: list[EmbeddedPostgres | EmbeddedRedis] = []
_directory: Path | None = None


def _create_app_role(owner_url: str) -> None:
    with psycopg.connect(owner_url, autocommit=True) as connection:
        if not connection.execute("SELECT 1 FROM pg_roles WHERE rolname = 'tokensight_app'").fetchone():
            connection.execute("CREATE ROLE tokensight_app LOGIN NOBYPASSRLS")


def _start() -> None:
    global _directory
    os.environ["DEVELOPMENT"] = "1"
    os.environ.setdefault("DJANGO_ALLOW_ASYNC_UNSAFE", "true")  # playwright's loop runs in the test's own thread
    if worker := os.environ.get("PYTEST_XDIST_WORKER"):
        # Each worker empties its own database after a test, not its neighbour's.
        os.environ["REDIS_URL"] = os.environ["REDIS_URL"].replace("db=0", f"db={int(worker.removeprefix('gw')) + 1}")
        return
    _directory = Path(tempfile.mkdtemp(prefix="tokensight-tests-"))
    os.environ["TOKENSIGHT_DATA_DIR"] = str(_directory / "data")
    if "DATABASE_OWNER_URL" not in os.environ:
        # Tests gain nothing from surviving a power cut.
        postgres = EmbeddedPostgres(_directory / "postgres", {"fsync": "off", "max_connections": "500"})
        _started.append(postgres)
        os.environ["DATABASE_OWNER_URL"] = postgres.url("postgres")
        os.environ["DATABASE_URL"] = postgres.url("postgres", role="tokensight_app")
        _create_app_role(os.environ["DATABASE_OWNER_URL"])
    if "REDIS_URL" not in os.environ:
        server = EmbeddedRedis(_directory / "redis")
        _started.append(server)
        os.environ["REDIS_URL"] = server.url()


_start()


@pytest.hookimpl(trylast=True)
def pytest_unconfigure() -> None:
    while _started:
        _started.pop().stop()
    if _directory:
        shutil.rmtree(_directory, ignore_errors=True)
