"""Emptying the database after a test that committed.

The restricted role may not delete everything, and the append-only tables refuse it to everybody, so the owner does it
with triggers off, and puts back the rows that the migrations had made.
"""

from __future__ import annotations

import psycopg
from django.db import connections
from psycopg import sql

# What the migrations had put into the tables, one copy each.
SEEDS = "migrated_rows"


def _owner() -> psycopg.Connection:
    """Connect as the owner, past Django's guard on connections that a test has not asked for."""
    return psycopg.connect(**connections["owner"].get_connection_params(), autocommit=True)


def _tables(connection: psycopg.Connection, schema: str) -> list[str]:
    """Return the tables of a schema; partitions, which may be in another one, are reached through theirs."""
    query = """
        SELECT relname FROM pg_class
        WHERE relnamespace = %s::regnamespace AND relkind IN ('r', 'p') AND NOT relispartition ORDER BY relname
    """
    return [table for (table,) in connection.execute(query, [schema])]


def _with_rows(connection: psycopg.Connection) -> list[str]:
    tables = _tables(connection, "public")
    exists = (sql.SQL("EXISTS (TABLE {})").format(sql.Identifier("public", table)) for table in tables)
    (filled,) = connection.execute(sql.SQL("SELECT ARRAY[{}]").format(sql.SQL(", ").join(exists)))
    return [table for table, has_rows in zip(tables, filled[0], strict=True) if has_rows]


def _name(table: str) -> dict[str, sql.Identifier]:
    return {"table": sql.Identifier("public", table), "copy": sql.Identifier(SEEDS, table)}


def remember_migrated_rows() -> None:
    """Copy every table that the migrations left rows in; call it once, right after migrating."""
    with _owner() as connection:
        connection.execute(f"CREATE SCHEMA {SEEDS}")
        for table in _with_rows(connection):
            connection.execute(sql.SQL("CREATE TABLE {copy} AS TABLE {table}").format(**_name(table)))


def restore_migrated_rows(*, anew: bool = False) -> None:
    """Bring all tables back to what they held after migrating; `anew` also gives them new files."""
    with _owner() as connection:
        connection.execute("SET session_replication_role = replica")
        # A connection that a test left in its transaction is told of here, instead of a test run that hangs.
        connection.execute("SET lock_timeout = '60s'")
        with connection.transaction():
            every = sql.SQL(", ").join(sql.Identifier("public", table) for table in _tables(connection, "public"))
            connection.execute(sql.SQL("LOCK TABLE {} IN ACCESS EXCLUSIVE MODE").format(every))
            if anew:
                connection.execute(sql.SQL("TRUNCATE {}").format(every))
            # Few tables have any: to truncate them all makes hundreds of files, which takes ten times as long.
            for table in _with_rows(connection):
                connection.execute(sql.SQL("DELETE FROM {table}").format(**_name(table)))
            for table in _tables(connection, SEEDS):
                connection.execute(sql.SQL("INSERT INTO {table} TABLE {copy}").format(**_name(table)))
