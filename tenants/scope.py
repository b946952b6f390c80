"""Whose rows a transaction may see.

Row-level security shows the restricted database role no tenant's rows at all until a scope is set. A scope lives as
long as its transaction (`SET LOCAL`), so it is safe behind a transaction pooler and cannot leak into the next request.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import contextmanager

import structlog
from django.conf import settings
from django.db import connection, transaction

log = structlog.get_logger(__name__)

ORGANIZATION = "tokensight.org_id"
USER = "tokensight.user_id"


@contextmanager
def organization_scope(organization_id: uuid.UUID | str) -> Iterator[None]:
    """Open a transaction that sees and writes the rows of one organization only."""
    with transaction.atomic(), _setting(ORGANIZATION, str(organization_id)):
        yield


@contextmanager
def user_scope(user_id: uuid.UUID | str) -> Iterator[None]:
    """Open a transaction that sees a person's own memberships, and the organizations that they belong to."""
    with transaction.atomic(), _setting(USER, str(user_id)):
        yield


@contextmanager
def platform_scope(reason: str, *, patient: bool = False) -> Iterator[None]:
    """Open a transaction that sees every organization: the one door for sweepers, workers and staff.

    `reason` says who goes through it and why; it is logged. With `patient` its statements may take as long as they
    like: for work at night that nobody waits for. All others end after the time that the role has (docs/operations.md).
    """
    log.debug("platform_scope", reason=reason)
    with transaction.atomic(), _setting("role", settings.DATABASE_PLATFORM_ROLE):
        if patient:
            with _setting("statement_timeout", "0"):
                yield
        else:
            yield


@contextmanager
def _setting(name: str, value: str) -> Iterator[None]:
    """Set a transaction-local setting, and restore what an enclosing transaction had set.

    Where no transaction encloses this one, its end restores it; after an error, rolling back does.
    """
    with connection.cursor() as cursor:
        cursor.execute("SELECT current_setting(%s, true), set_config(%s, %s, true)", [name, name, value])
        previous = cursor.fetchone()[0] or ""
    nested = bool(connection.savepoint_ids)
    yield
    if nested:
        with connection.cursor() as cursor:
            cursor.execute("SELECT set_config(%s, %s, true)", [name, previous])
