"""The embedded servers end with the process that started them, however it ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import psycopg
import pytest

from portal.embedded import EmbeddedPostgres, EmbeddedServerError

OWNER = """
import sys, time
from pathlib import Path
from portal.embedded import EmbeddedPostgres, EmbeddedRedis
directory = Path(sys.argv[1])
EmbeddedPostgres(directory / "postgres"), EmbeddedRedis(directory / "redis")
print("started", flush=True)
time.sleep(60)
"""


def test_a_killed_owner_leaves_no_server_behind(tmp_path: Path) -> None:
    owner = subprocess.Popen([sys.executable, "-c", OWNER, str(tmp_path)], stdout=subprocess.PIPE)
    assert owner.stdout is not None
    assert owner.stdout.readline() == b"started\n"
    family = psutil.Process(owner.pid).children(recursive=True)
    assert {process.name() for process in family} >= {"postgres", "redis-server"}
    os.kill(owner.pid, signal.SIGKILL)
    owner.communicate()
    deadline = time.monotonic() + 15
    while any(process.is_running() for process in family):
        assert time.monotonic() < deadline, family
        time.sleep(0.05)


def test_data_survives_a_restart_and_only_this_user_reaches_the_socket(tmp_path: Path) -> None:
    directory = tmp_path / "postgres"
    for statement, expected in (("CREATE TABLE kept AS SELECT 42 AS answer", None), ("TABLE kept", (42,))):
        server = EmbeddedPostgres(directory)
        with psycopg.connect(server.url("postgres"), autocommit=True) as connection:
            cursor = connection.execute(statement)
            assert expected is None or cursor.fetchone() == expected
            assert connection.execute("SHOW fsync").fetchone() == ("on",)
        assert directory.stat().st_mode & 0o077 == 0
        server.stop()


def test_data_of_another_postgresql_is_refused_with_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "postgres").mkdir()
    (tmp_path / "postgres" / "PG_VERSION").write_text("14\n")
    with pytest.raises(EmbeddedServerError, match=r"PostgreSQL 14.*Move the directory away"):
        EmbeddedPostgres(tmp_path / "postgres")


def test_a_long_path_gets_a_short_socket(tmp_path: Path) -> None:
    server = EmbeddedPostgres(tmp_path / ("long" * 25) / "postgres", {"fsync": "off"})
    try:
        assert len(server.url("postgres")) < 120
    finally:
        server.stop()
