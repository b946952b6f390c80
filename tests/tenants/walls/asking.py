"""Asking as an outsider does, and comparing what comes back and what has changed."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any
from uuid import UUID, uuid4

from django.db import connection
from django.http import HttpResponseBase
from django.test import Client
from django.test.utils import CaptureQueriesContext

from billing.queries.credentials import forget_credentials
from tenants.models import Organization
from tenants.scope import platform_scope
from tests.factories.rows import tenant_models


def fingerprint(organization: Organization) -> dict[str, str]:
    """Return a hash of everything that an organization has, by table."""
    tables = [model._meta.db_table for model in tenant_models()]
    parts = [
        f"SELECT '{table}', md5(string_agg(t::text, ',' ORDER BY id)) FROM {table} t WHERE org_id = %(id)s"
        for table in tables
    ]
    parts.append("SELECT 'tenants_organization', md5(t::text) FROM tenants_organization t WHERE id = %(id)s")
    with platform_scope("look"), connection.cursor() as cursor:
        cursor.execute(" UNION ALL ".join(parts), {"id": organization.id})
        found = dict(cursor.fetchall())
    assert all(found.values()), "there is something of each table to change"
    return found


def answer(response: HttpResponseBase, *words: object) -> tuple[int, str]:
    """Return status and text, with the words that the asker sent and what differs by chance taken out."""
    text = b"".join(response).decode(errors="replace")  # type: ignore[arg-type]
    text = re.sub(r'"X-CSRFToken": "\w+"|name="csrfmiddlewaretoken" value="\w+"|nonce="[^"]+"', "", text)
    text = re.sub(r'"request_id":\s?"[^"]+"', "", text)
    for word in words:
        text = text.replace(str(word), "…")
    return response.status_code, text


def compared(real: UUID, ask: Callable[[UUID], HttpResponseBase]) -> tuple[Any, Any]:
    """Ask for a row that is somebody else's and for one that nobody has; return both answers and what each cost.

    What it cost are the statements that the database was asked, without their values: one more would be a difference
    that a stopwatch sees.
    """
    ask(uuid4())  # the first request of a session or a credential looks that up
    found: list[tuple[int, str, list[str]]] = []
    # What differs by the clock alone (a use that is noted now and then) does not differ every time.
    while not found or (found[-2] != found[-1] and len(found) < 6):
        found += [_answer_and_statements(ask, value) for value in (real, uuid4())]
    return found[-2], found[-1]


def _answer_and_statements(ask: Callable[[UUID], HttpResponseBase], value: UUID) -> tuple[int, str, list[str]]:
    forget_credentials()
    with CaptureQueriesContext(connection) as statements:
        status, text = answer(ask(value), value)
    asked = [re.sub(r"'[^']*'|\b\d+\b|\bs\d+_x\d+\b", "?", statement["sql"]) for statement in statements]
    return status, text, asked


def call(method: str, path: str, secret: str = "", body: dict[str, Any] | None = None) -> HttpResponseBase:
    """Ask the API as a client would."""
    sent = {} if method == "get" else {"data": body or {}, "content_type": "application/json"}
    headers = {"Authorization": f"Bearer {secret}"} if secret else {}
    return getattr(Client(), method)(path, headers=headers, **sent)
