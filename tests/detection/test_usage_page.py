"""The page about usage, its file, and that neither tells an outsider anything."""

from __future__ import annotations

import csv
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from billing.models import SubToken
from detection.models import DailyUsage, ModelVersion, OrganizationDay
from tenants.models import Organization, Role, User
from tenants.scope import organization_scope, platform_scope
from tests.detection.test_usage import run
from tests.factories.jobs import make_spender
from tests.factories.tenants import make_membership

pytestmark = pytest.mark.django_db


@pytest.fixture
def sub_token(db: None) -> SubToken:
    return make_spender()


@pytest.fixture
def page(sub_token: SubToken, client: Client) -> Any:
    """Ask for the usage page of the sub-token's organization, as a member of it."""
    organization = sub_token.organization
    client.force_login(make_membership(organization, role=Role.VIEWER).user)

    def get(name: str = "usage/", **query: str) -> str:
        response = client.get(f"/o/{organization.slug}/{name}", query)
        assert response.status_code == 200
        return b"".join(response).decode() if response.streaming else response.content.decode()

    return get


def test_nothing_used_says_what_to_do(page: Any) -> None:
    assert "Nothing was used" in page()


def test_the_chart_says_what_it_found(page: Any, sub_token: SubToken, version: ModelVersion) -> None:
    run(sub_token, version, timezone.now(), price_mtok=2500, tags={"line": "7"})
    text = page()
    assert "The busiest day was" in text
    assert "2.5 Tok" in text
    assert "Agrees with the ledger" in text
    assert f"{sub_token.name} took 100%: 2.5 Tok" in page(by="sub_token")
    assert "line=7 took most" in page(by="tag")
    assert "7 took most" in page(by="tag", tag="line")
    assert "blank-n" in page(by="hour", also="model")
    assert "Agrees" not in page(model="blank-n")


def test_a_sum_that_differs_from_the_ledger_shows(page: Any, sub_token: SubToken, version: ModelVersion) -> None:
    run(sub_token, version, timezone.now())
    with platform_scope("spoil"):
        OrganizationDay.objects.update(charged_mtok=1)
    assert "Differs from the ledger" in page()


@pytest.mark.parametrize(
    "query",
    [
        {"by": "day", "also": "day"},
        {"by": "hour", "also": "tag"},
        {"since": "2026-02-01", "until": "2026-01-01"},
        {"since": "2020-01-01", "until": "2026-01-01"},
        {"by": "colour"},
        {"tag": "no such/name"},
        {"sub_token": "nobody"},
        {"team": "x"},
    ],
)
def test_what_cannot_be_asked_is_said_at_its_field(page: Any, query: dict[str, str]) -> None:
    assert "Change what is marked above." in page(**query)


def test_the_file_has_every_row(page: Any, sub_token: SubToken, version: ModelVersion) -> None:
    for days in range(3):
        run(sub_token, version, timezone.now() - timedelta(days=days), price_mtok=1500, tags={"line": "=1+1"})
    head, *rows = csv.reader(page("usage.csv", by="day", also="tag").splitlines())
    assert head == ["day", "tag", "calls", "succeeded", "failed", "cached", "tokens"]
    assert [row[1:] for row in rows] == [["line==1+1", "1", "1", "0", "0", "1.500"]] * 3
    head, *rows = csv.reader(page("usage.csv", by="tag", tag="line").splitlines())
    assert rows == [["'=1+1", "3", "3", "0", "0", "4.500"]], "a formula is marked as text"


def test_an_outsider_gets_the_page_that_is_not_there(sub_token: SubToken, charlie: User, beta: Organization) -> None:
    client = Client()
    client.force_login(charlie)
    for name in ("usage/", "usage.csv"):
        assert client.get(f"/o/{sub_token.organization.slug}/{name}").status_code == 404
    with organization_scope(beta.id):
        assert not DailyUsage.objects.exists()
    assert sub_token.name not in client.get("/o/beta/usage/", {"sub_token": sub_token.name}).content.decode().replace(
        f'value="{sub_token.name}"', ""
    )
