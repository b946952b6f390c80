"""The embedded servers end with the process that started them, however it ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from portal.embedded import EmbeddedPostgres, EmbeddedServerError
from tests.portal.families import family, gone
from tests.portal.folders import server_folder


@pytest.fixture
def folder() -> Iterator[Path]:
    with server_folder() as path:
        yield path


OWNER = """
import sys, time
from pathlib import Path
from portal.embedded import EmbeddedPostgres, EmbeddedRedis
directory = Path(sys.argv[1])
EmbeddedPostgres(directory / "postgres"), EmbeddedRedis(directory / "redis")
print("started", flush=True)
time.sleep(600)
"""


def test_a_killed_owner_leaves_no_server_behind(folder: Path) -> None:
    owner = subprocess.Popen([sys.executable, "-c", OWNER, str(folder)], stdout=subprocess.PIPE)
    assert owner.stdout is not None
    assert owner.stdout.readline() == b"started\n"
    everybody = family(owner.pid)
    assert {words.split()[0] for words in everybody.values()} >= {"postgres", "redis-server"}
    os.kill(owner.pid, signal.SIGKILL)
    owner.communicate()
    assert gone(everybody), everybody


def test_data_survives_a_restart_and_only_this_user_reaches_the_socket(folder: Path) -> None:
    directory = folder / "postgres"
    for statement, expected in (("CREATE TABLE kept AS SELECT 42 AS answer", None), ("TABLE kept", (42,))):
        server = EmbeddedPostgres(directory)
        with psycopg.connect(server.url("postgres"), autocommit=True) as connection:
            cursor = connection.execute(statement)
            assert expected is None or cursor.fetchone() == expected
            assert connection.execute("SHOW fsync").fetchone() == ("on",)
        assert directory.stat().st_mode & 0o077 == 0
        server.stop()


def test_data_of_another_postgresql_is_refused_with_what_to_do(folder: Path) -> None:
    (folder / "postgres").mkdir()
    (folder / "postgres" / "PG_VERSION").write_text("14\n")
    with pytest.raises(EmbeddedServerError, match=r"PostgreSQL 14.*Move the directory away"):
        EmbeddedPostgres(folder / "postgres")


def test_a_long_path_gets_a_short_socket(folder: Path) -> None:
    server = EmbeddedPostgres(folder / ("long" * 25) / "postgres", {"fsync": "off"})
    try:
        assert len(server.url("postgres")) < 120
    finally:
        server.stop()
