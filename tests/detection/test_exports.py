"""Files of any length: whole, in order, filtered, harmless to spreadsheets, and nobody else's."""

from __future__ import annotations

import csv
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from billing.models import Entry, SubToken
from billing.queries import exports as entry_exports
from detection.models import Job, ModelVersion
from detection.queries import exports
from tenants.identifiers import new_id
from tenants.models import Organization
from tenants.permissions import Permission
from tenants.scope import organization_scope
from tests.api_client import manager_of
from tests.detection.conftest import Caller
from tests.detection.test_usage import run
from tests.factories.jobs import make_spender

pytestmark = pytest.mark.django_db


@pytest.fixture
def sub_token(db: None, version: ModelVersion) -> SubToken:
    """A sub-token whose name is a formula, with seven calls."""
    sub_token = make_spender()
    with organization_scope(sub_token.organization_id):
        SubToken.objects.filter(id=sub_token.id).update(name="=HYPERLINK(1)")
    for number in range(7):
        run(sub_token, version, timezone.now() - timedelta(days=number), price_mtok=1500, fail=number == 6)
    return sub_token


def read(response: Any) -> list[list[str]]:
    assert response.status_code == 200, response.content
    assert response["Content-Type"].startswith("text/csv")
    return list(csv.reader(b"".join(response).decode().splitlines()))


def test_every_call_is_in_the_file_once_in_batches(sub_token: SubToken, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exports, "BATCH", 3)
    with CaptureQueriesContext(connection) as queries:
        head, *rows = exports.call_rows(sub_token.organization_id, Job.objects.all)
    assert head == exports.COLUMNS
    ids = [row[1] for row in rows]
    assert len(set(ids)) == 7
    assert ids == sorted(ids, reverse=True)
    reads = [query["sql"] for query in queries.captured_queries if "detection_job" in query["sql"]]
    assert len(reads) == 3
    assert all("LIMIT 3" in sql for sql in reads)


def test_every_entry_is_in_the_file_once_in_batches(sub_token: SubToken, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(entry_exports, "BATCH", 4)
    _head, *rows = entry_exports.entry_rows(sub_token.organization_id)
    assert sum(int(row[6].replace(".", "")) for row in rows) == 0, "all entries sum to zero"
    assert sum(row[2] == "capture" for row in rows) == 12


def test_an_account_s_entries_are_in_the_file_once_in_batches(
    sub_token: SubToken, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(entry_exports, "BATCH", 2)
    organization_id, account_id = sub_token.organization_id, sub_token.account_id
    _head, *rows = entry_exports.entry_rows(organization_id, account_id=account_id)
    with organization_scope(organization_id):
        entries = Entry.objects.filter(account_id=account_id).order_by("-transfer_id", "-id")
        wanted = [(str(transfer), mtok) for transfer, mtok in entries.values_list("transfer_id", "amount_mtok")]
    assert [(str(row[1]), int(row[6].replace(".", ""))) for row in rows] == wanted
    assert len(wanted) == 7


def test_the_api_streams_what_is_asked_for(sub_token: SubToken) -> None:
    manager = manager_of(sub_token.organization, Permission.CALLS_VIEW, Permission.LEDGER_VIEW)
    _head, *rows = read(manager.get("/v1/jobs/export"))
    assert len(rows) == 7
    assert {row[2] for row in rows} == {"'=HYPERLINK(1)"}, "a formula is marked as text"
    assert len(read(manager.get("/v1/jobs/export", status="failed"))) == 2
    assert len(read(manager.get("/v1/jobs/export", sub_token=str(new_id())))) == 1
    since = (timezone.now() - timedelta(days=2, hours=1)).isoformat()
    assert len(read(manager.get("/v1/jobs/export", **{"from": since}))) == 4
    assert len(read(manager.get("/v1/ledger/entries/export", kind="capture"))) == 13
    account = str(sub_token.account_id)
    assert len(read(manager.get("/v1/ledger/entries/export", kind="capture", account=account))) == 7
    for path, query in (
        ("/v1/jobs/export", {"status": "lost"}),
        ("/v1/jobs/export", {"from": "x"}),
        ("/v1/ledger/entries/export", {"account": "x"}),
    ):
        assert manager.get(path, **query).status_code == 422


def test_an_outsider_streams_nothing_of_it(sub_token: SubToken, outsider: Caller, beta: Organization) -> None:
    assert len(read(outsider.get("/v1/jobs/export"))) == 1
    assert len(read(outsider.get("/v1/jobs/export", sub_token=str(sub_token.id)))) == 1
    manager = manager_of(beta, Permission.CALLS_VIEW, Permission.LEDGER_VIEW)
    assert len(read(manager.get("/v1/jobs/export", sub_token=str(sub_token.id)))) == 1
    assert len(read(manager.get("/v1/ledger/entries/export", account=str(sub_token.account_id)))) == 1
    assert manager_of(beta, Permission.GRANTS_VIEW).get("/v1/ledger/entries/export").status_code == 403
