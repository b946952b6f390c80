"""The two database roles of a local run: the owner, who migrates, and the restricted one that everything else uses."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, urlsplit, urlunsplit

import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict

from portal.embedded import EmbeddedPostgres
from portal.local.machine import kept_secret
from portal.local.report import Failure

APP_ROLE = os.environ.get("DATABASE_APP_ROLE", "tokensight_app")
DATABASE = "tokensight"


@dataclass(frozen=True)
class DatabaseUrls:
    """How to reach the database as its owner and as the restricted role."""

    owner: str
    app: str


def embedded_database(server: EmbeddedPostgres) -> DatabaseUrls:
    """Make the database and the restricted role in the embedded server when missing, and return the addresses."""
    with psycopg.connect(server.url("postgres"), autocommit=True) as connection:
        if not connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [DATABASE]).fetchone():
            connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(DATABASE)))
        if not connection.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", [APP_ROLE]).fetchone():
            connection.execute(sql.SQL("CREATE ROLE {} LOGIN NOBYPASSRLS").format(sql.Identifier(APP_ROLE)))
    return DatabaseUrls(owner=server.url(DATABASE), app=server.url(DATABASE, role=APP_ROLE))


def given_database(data: Path) -> DatabaseUrls:
    """Return the addresses of the database in DATABASE_URL.

    With DATABASE_OWNER_URL both are taken as they are. Otherwise DATABASE_URL is the owner's, and the restricted role
    is made (or given this data folder's password) through it. Raises Failure.
    """
    url = os.environ["DATABASE_URL"]
    try:
        conninfo_to_dict(url)
    except psycopg.ProgrammingError:
        # Its own words would repeat the address, with the password in it.
        raise Failure("DATABASE_URL is no address of a database: write postgresql://user:password@host/name") from None
    if owner := os.environ.get("DATABASE_OWNER_URL"):
        return DatabaseUrls(owner=owner, app=url)
    password = kept_secret(data / "database-password")
    role, secret = sql.Identifier(APP_ROLE), sql.Literal(password)
    try:
        with psycopg.connect(url, autocommit=True, connect_timeout=10) as connection:
            known = connection.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", [APP_ROLE]).fetchone()
            statement = "ALTER ROLE {} LOGIN PASSWORD {}" if known else "CREATE ROLE {} LOGIN NOBYPASSRLS PASSWORD {}"
            connection.execute(sql.SQL(statement).format(role, secret))
            connection.execute(
                sql.SQL("GRANT CONNECT ON DATABASE {} TO {}").format(sql.Identifier(connection.info.dbname), role)
            )
    except psycopg.OperationalError as error:
        raise Failure(
            f"DATABASE_URL cannot be reached: {str(error).strip().splitlines()[0]}. Start that server or mend the"
            " address; without DATABASE_URL an embedded one is started."
        ) from error
    except psycopg.errors.InsufficientPrivilege as error:
        raise Failure(
            f"The role in DATABASE_URL may not make the role {APP_ROLE} ({error.diag.message_primary}). Give a role"
            " with CREATEROLE, or make it yourself: DATABASE_URL is then its address, DATABASE_OWNER_URL the owner's."
        ) from error
    return DatabaseUrls(owner=url, app=as_role(url, APP_ROLE, password))


def as_role(url: str, role: str, password: str) -> str:
    """Return a connection URL with another role and password in it."""
    parts = urlsplit(url)
    address = parts.netloc.rpartition("@")[2]
    return urlunsplit(parts._replace(netloc=f"{quote(role, safe='')}:{quote(password, safe='')}@{address}"))
