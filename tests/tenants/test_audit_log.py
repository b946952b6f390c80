"""Searching the audit log and taking it away: page, downloads and API."""

from __future__ import annotations

import csv
import io
import json
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from uuid import UUID

import pytest
from django.test import Client

from billing.services.accounts import open_wallet
from tenants.actors import management_key_actor, user_actor
from tenants.audit_export import verify_export
from tenants.identifiers import new_id
from tenants.models import AuditEvent, Organization, User
from tenants.permissions import Permission
from tenants.scope import organization_scope
from tenants.services import audit
from tenants.services.audit_verify import verify_chain
from tenants.views.audit_words import changes
from tests.api_client import body, manager_of

pytestmark = pytest.mark.django_db

NOW = datetime(2026, 11, 20, 9, 30, tzinfo=UTC)
PERSON, KEY, TEAM = (UUID(int=number) for number in (1, 2, 3))


@pytest.fixture
def log(alpha: Organization) -> Organization:
    """Alpha, where three things happened on three days."""
    with organization_scope(alpha.id):
        for days, actor, action, name, reason in (
            (2, user_actor(PERSON, "zoe@alpha.example", "203.0.113.9"), "team.created", "Line 1", ""),
            (1, management_key_actor(KEY, "ERP", "198.51.100.7"), "team.changed", "Line 2", "=1+1"),
            (0, user_actor(PERSON, "zoe@alpha.example", "203.0.113.9"), "sub_token.revoked", "Kamera 7%_", "lost"),
        ):
            audit.record(
                organization_id=alpha.id,
                actor=actor,
                action=action,
                target_kind=action.split(".", maxsplit=1)[0],
                target_id=TEAM if action.startswith("team") else new_id(),
                before={"name": "Old"},
                after={"name": name, "mtok": 1500},
                reason=reason,
                now=NOW - timedelta(days=days),
            )
    return alpha


@pytest.fixture
def owner(client: Client, log: Organization, alice: User) -> Client:
    client.force_login(alice)
    return client


QUERIES = [
    ("q=kamera", ["sub_token.revoked"]),
    ("q=LINE", ["team.changed", "team.created"]),
    ("q=7%25_", ["sub_token.revoked"]),
    ("q=203.0.113", ["sub_token.revoked", "team.created"]),
    (f"q={TEAM}", ["team.changed", "team.created"]),
    ("q=erp", ["team.changed"]),
    ("q=nothing-of-this", []),
    ("action=team.created", ["team.created"]),
    (f"actor={PERSON}", ["sub_token.revoked", "team.created"]),
    (f"target={TEAM}", ["team.changed", "team.created"]),
    (f"actor={KEY}&q=line", ["team.changed"]),
]


@pytest.mark.parametrize(("query", "expected"), QUERIES)
def test_the_page_finds(query: str, expected: list[str], owner: Client) -> None:
    rows = owner.get(f"/o/alpha/audit/?{query}").context["rows"]
    assert [row["event"].action for row in rows] == expected


@pytest.mark.parametrize(("query", "expected"), QUERIES)
def test_the_api_finds_the_same(query: str, expected: list[str], log: Organization) -> None:
    caller = manager_of(log, Permission.AUDIT_VIEW)
    answer = body(caller.get(f"/v1/audit_events?{query}"))
    assert [event["action"] for event in answer["data"] if event["action"] != "management_key.created"] == expected


def test_days_bound_the_search(owner: Client, log: Organization) -> None:
    rows = owner.get("/o/alpha/audit/?since=2026-11-19&until=2026-11-19").context["rows"]
    assert [row["event"].action for row in rows] == ["team.changed"]
    caller = manager_of(log)
    found = body(caller.get("/v1/audit_events?from=2026-11-19&to=2026-11-20T00:00:00Z"))["data"]
    assert [event["action"] for event in found] == ["team.changed"]


def test_what_cannot_be_read_is_refused_by_the_api_and_left_out_by_the_page(owner: Client, log: Organization) -> None:
    caller = manager_of(log)
    for query in ("actor=me", "from=yesterday", f"q={'x' * 201}"):
        answer = caller.get(f"/v1/audit_events?{query}")
        assert (answer.status_code, body(answer)["code"]) == (422, "validation_error"), query
    assert caller.get("/v1/audit_events?q=%00").status_code == 422
    for query in ("actor=me&q=line", "since=yesterday&q=line", "q=%00", "cursor=x"):
        assert owner.get(f"/o/alpha/audit/?{query}").status_code == HTTPStatus.OK


def test_the_csv_has_the_filters_of_the_page_and_harms_no_spreadsheet(owner: Client) -> None:
    response = owner.get("/o/alpha/audit/events.csv?q=line")
    rows = list(csv.DictReader(io.StringIO(b"".join(response).decode())))
    assert [row["action"] for row in rows] == ["team.changed", "team.created"]
    assert rows[0]["reason"] == "'=1+1"
    assert json.loads(rows[0]["after"]) == {"name": "Line 2", "mtok": 1500}
    assert rows[0]["ip"] == "198.51.100.7"


def test_the_lines_can_be_verified_by_anybody(owner: Client, log: Organization) -> None:
    audit.seal_events_of(organization_id=log.id, now=NOW)
    by_page = b"".join(owner.get("/o/alpha/audit/events.jsonl")).decode().splitlines()
    report = verify_export(by_page)
    assert (report.events, report.links, report.problems) == (3, 2, [])
    caller = manager_of(log)
    by_api = caller.get("/v1/audit_events/export", action="team.created")
    assert by_api["Content-Type"] == "application/x-ndjson"
    lines = [json.loads(line) for line in b"".join(by_api).splitlines()]
    assert lines == [json.loads(line) for line in by_page if '"team.created"' in line]


def test_the_chain_s_end_is_told(log: Organization) -> None:
    caller = manager_of(log, Permission.AUDIT_VIEW)
    assert body(caller.get("/v1/audit_events/chain")) == {
        "sequence": 0,
        "hash": "",
        "sealed_at": None,
        "last_check": None,
    }
    report = verify_chain(organization_id=log.id, now=NOW)
    answer = body(caller.get("/v1/audit_events/chain"))
    assert (answer["sequence"], answer["hash"]) == (4, report.hash)
    assert answer["last_check"]["passed"] is True
    assert answer["last_check"]["events"] == 4


def test_the_page_shows_the_last_verification(owner: Client, log: Organization) -> None:
    assert "Not verified yet" in owner.get("/o/alpha/audit/").content.decode()
    report = verify_chain(organization_id=log.id, now=NOW)
    page = owner.get("/o/alpha/audit/").content.decode()
    assert "Verified" in page
    assert report.hash in page


def test_without_the_scope_the_api_shows_nothing(log: Organization) -> None:
    caller = manager_of(log, Permission.LEDGER_VIEW)
    for path in ("", "/chain", "/export"):
        assert caller.get(f"/v1/audit_events{path}").status_code == HTTPStatus.FORBIDDEN


def test_from_where_it_was_done_is_written_down(owner: Client, log: Organization) -> None:
    owner.post(
        "/o/alpha/settings/",
        {"name": "Alpha Works", "when_uncounted": "pass"},
        REMOTE_ADDR="203.0.113.9",
        headers={"User-Agent": "Browser/1.0 " + "x" * 400, "X-Request-Id": "request-0001"},
    )
    with organization_scope(log.id):
        event = AuditEvent.objects.get(action="organization.renamed")
    assert (event.ip, event.request_id) == ("203.0.113.9", "request-0001")
    assert event.user_agent.startswith("Browser/1.0 xxx")
    assert len(event.user_agent) == 300
    key = owner.session.session_key
    assert len(event.session) == 12
    assert key is not None
    assert event.session not in key


def test_a_key_s_act_bears_its_request(log: Organization) -> None:
    with organization_scope(log.id):
        open_wallet(log.id)
    caller = manager_of(log)
    answer = caller.post("/v1/teams", {"name": "Line 9"}, User_Agent="erp/2", X_Request_Id="request-0002")
    assert answer.status_code == HTTPStatus.CREATED
    with organization_scope(log.id):
        event = AuditEvent.objects.get(action="team.created", after__name="Line 9")
    assert (event.actor_kind, event.user_agent, event.request_id, event.session) == (
        "management_key",
        "erp/2",
        "request-0002",
        "",
    )


def test_facts_are_read_as_what_they_are() -> None:
    event = AuditEvent(
        before={"expires_at": "2026-11-21T10:13:18+00:00", "parent": ""},
        after={"expires_at": None, "mtok": 5_625, "name": "T-800", "scopes": ["calls.view", "audit.view"]},
    )
    facts = {fact.name: fact for fact in changes(event)}
    assert facts.keys() == {"expires_at", "mtok", "name", "scopes"}
    assert (facts["expires_at"].is_moment, facts["expires_at"].after) == (True, None)
    assert facts["expires_at"].before == datetime(2026, 11, 21, 10, 13, 18, tzinfo=UTC)
    assert (facts["mtok"].is_amount, facts["name"].is_moment) == (True, False)
    assert facts["scopes"].after == "calls.view, audit.view"
