"""The database as the migrations leave it: they run once for all, and everybody gets a copy.

They take some eight seconds of a processor. tests/portal/test_run.py lets the product run them by itself.
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
from django.core.management import call_command
from django.db import connections
from psycopg import sql
from psycopg.conninfo import make_conninfo

from portal.embedded import EmbeddedPostgres, programs
from portal.local.database import APP_ROLE, embedded_database

# All workers of a run share it, and no other run does: what they migrate may differ.
TEMPLATE = f"migrated_{os.environ.get('PYTEST_XDIST_TESTRUNUID', os.getpid())}"
# In place of the role's own (tenants/migrations/0002_scopes.py).
PATIENCE = {"lock_timeout": "60s", "statement_timeout": "120s", "idle_in_transaction_session_timeout": "240s"}
# Where processes that a test starts find the dump.
DUMP = "TESTS_MIGRATED_DUMP"


@contextmanager
def _turn() -> Iterator[psycopg.Connection]:
    """Connect as the owner; other workers wait meanwhile."""
    with psycopg.connect(os.environ["DATABASE_OWNER_URL"], autocommit=True) as connection:
        connection.execute("SELECT pg_advisory_lock(hashtext('tests migrate'))")
        yield connection


def _migrate(turn: psycopg.Connection) -> None:
    """Make the template, unless another worker has."""
    if turn.execute("SELECT 1 FROM pg_database WHERE datname = %s", [TEMPLATE]).fetchone():
        return
    turn.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(TEMPLATE)))
    owner = connections["owner"]
    owner.close()
    owner.settings_dict["NAME"] = TEMPLATE
    call_command("migrate", database="owner", verbosity=0, interactive=False)
    owner.close()


def _left(turn: psycopg.Connection, database: str) -> None:
    """Return once nobody is connected to a database: the server itself waits 5 seconds for that, and then refuses."""
    turn.execute("SELECT pg_terminate_backend(pid, 60000) FROM pg_stat_activity WHERE datname = %s", [database])


def _drop(turn: psycopg.Connection, database: str) -> None:
    # A thread that outlived its test must not keep the database from being dropped.
    _left(turn, database)
    turn.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(database)))


def make_database(name: str) -> None:
    """Make a migrated database; one of this name that another run left behind is dropped.

    In it the restricted role waits longer than elsewhere: what a test stops for a while on a busy machine, and others
    wait for, is not stuck.
    """
    database, role = sql.Identifier(name), sql.Identifier(APP_ROLE)
    with _turn() as turn:
        _migrate(turn)
        _drop(turn, name)
        _left(turn, TEMPLATE)
        turn.execute(sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(database, sql.Identifier(TEMPLATE)))
        for setting, value in PATIENCE.items():
            turn.execute(sql.SQL("ALTER ROLE {} IN DATABASE {} SET {} = {}").format(
                role, database, sql.Identifier(setting), sql.Literal(value)
            ))  # fmt: skip


def drop_database(name: str) -> None:
    """Drop a worker's database and, as long as no other worker asks for it again, the template."""
    with _turn() as turn:
        for database in (name, TEMPLATE):
            _drop(turn, database)


def dump_to(path: Path) -> None:
    """Write a migrated database to a file, and the roles that it needs, for servers of one's own."""
    with _turn() as turn:
        _migrate(turn)
        source = make_conninfo(os.environ["DATABASE_OWNER_URL"], dbname=TEMPLATE)
        roles, tables = (
            subprocess.run([programs() / program, "--dbname", source, *options], check=True, stdout=subprocess.PIPE)
            for program, *options in (("pg_dumpall", "--roles-only"), ("pg_dump",))
        )
        there_already = f"CREATE ROLE ({turn.info.user}|{APP_ROLE});\n"
        path.write_text(re.sub(there_already, "", roles.stdout.decode()) + tables.stdout.decode())


def restore(dump: Path, url: str) -> None:
    """Fill an empty database from the file; its server knows the owner and the restricted role, and no other."""
    quietly = ("--quiet", "--no-psqlrc", "--single-transaction", "--set", "ON_ERROR_STOP=1", "--output", os.devnull)
    subprocess.run([programs() / "psql", *quietly, "--dbname", url, "--file", dump], check=True)


def fill_data_folder(data: Path, dump: Path) -> None:
    """Make the data folder of a product that has been started before and was never used."""
    server = EmbeddedPostgres(data / "postgres", {"fsync": "off"})
    try:
        restore(dump, embedded_database(server).owner)
    finally:
        server.stop()
