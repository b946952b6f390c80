"""Emptying the database after a test that committed.

The restricted role may not truncate, and the append-only tables refuse it to everybody, so the owner does it with
triggers off, and puts back the rows that the migrations had made.
"""

from __future__ import annotations

import psycopg
from django.db import connections

# What the migrations had put into the tables, one copy each.
SEEDS = "migrated_rows"


def _owner() -> psycopg.Connection:
    """Connect as the owner, past Django's guard on connections that a test has not asked for."""
    return psycopg.connect(**connections["owner"].get_connection_params(), autocommit=True)


def _tables(connection: psycopg.Connection, schema: str) -> list[str]:
    query = "SELECT tablename FROM pg_tables WHERE schemaname = %s ORDER BY tablename"
    return [table for (table,) in connection.execute(query, [schema])]


def remember_migrated_rows() -> None:
    """Copy every table that the migrations left rows in; call it once, right after migrating."""
    with _owner() as connection:
        connection.execute(f"CREATE SCHEMA {SEEDS}")
        for table in _tables(connection, "public"):
            if connection.execute(f'SELECT EXISTS (TABLE public."{table}")').fetchone() == (True,):
                connection.execute(f'CREATE TABLE {SEEDS}."{table}" AS TABLE public."{table}"')


def restore_migrated_rows() -> None:
    """Bring all tables back to what they held after migrating."""
    with _owner() as connection:
        connection.execute("SET session_replication_role = replica")
        # A connection that a test left in its transaction is told of here, instead of a test run that hangs.
        connection.execute("SET lock_timeout = '20s'")
        tables = ", ".join(f'public."{table}"' for table in _tables(connection, "public"))
        with connection.transaction():
            connection.execute(f"TRUNCATE {tables}")
            for table in _tables(connection, SEEDS):
                connection.execute(f'INSERT INTO public."{table}" SELECT * FROM {SEEDS}."{table}"')
