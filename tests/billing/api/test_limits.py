"""`/v1/limits`: set, shown and felt; and invisible to everybody else."""

from __future__ import annotations

import json
import uuid
from typing import Any

import pytest
from django.utils import timezone

from billing.errors import HourlyLimitExceeded
from billing.models import Account
from tenants.models import AuditEvent, Organization
from tenants.permissions import Permission
from tenants.scope import organization_scope
from tests.api_client import ApiClient, body, manager_of
from tests.factories.billing import make_hold

pytestmark = pytest.mark.django_db
ALL = {
    "tokens_per_hour": 1.5,
    "tokens_per_day": 20,
    "tokens_per_month": "300.125",
    "tokens_total": 4000,
    "requests_per_second": 10,
    "burst": 20,
    "requests_per_day": 1000,
    "concurrency": 8,
}


def put(client: ApiClient, account: object, data: Any) -> Any:
    return client.raw("PUT", f"/v1/limits/{account}", json.dumps(data).encode(), "application/json")


def made(manager: ApiClient) -> dict[str, Any]:
    team = body(manager.post("/v1/teams", {"name": "Line team", "mode": "capped"}))["id"]
    token = {"name": "Line 1", "mode": "capped", "team": team}
    return body(manager.post("/v1/sub_tokens", token)) | {"team": team}


def by_level(manager: ApiClient) -> dict[str, dict[str, Any]]:
    return {row["level"]: row for row in body(manager.get("/v1/limits"))["data"]}


def test_every_account_is_listed_with_its_own_limits(manager: ApiClient) -> None:
    made_token = made(manager)
    rows = by_level(manager)
    assert list(rows) == ["sub_token", "team", "organization"]
    assert (rows["sub_token"]["sub_token"], rows["team"]["team"]) == (made_token["id"], made_token["team"])
    assert rows["sub_token"]["parent"] == rows["team"]["account"]
    assert rows["team"]["parent"] == rows["organization"]["account"]
    assert rows["organization"]["when_uncounted"] == "pass"
    assert "when_uncounted" not in rows["team"]
    assert all(row[name] is None for row in rows.values() for name in ALL)
    assert [row["level"] for row in body(manager.get("/v1/limits", level="team"))["data"]] == ["team"]
    assert manager.get("/v1/limits", level="planet").status_code == 422


@pytest.mark.parametrize("level", ["organization", "team", "sub_token"])
def test_all_limits_are_set_and_shown_as_they_were_given(manager: ApiClient, level: str) -> None:
    made(manager)
    account = by_level(manager)[level]["account"]
    answer = body(put(manager, account, ALL))
    assert {name: float(answer[name]) for name in ALL} == {name: float(value) for name, value in ALL.items()}
    assert answer["requests_today"] == 0
    assert [window["limit"] for window in answer["windows"]] == [
        "tokens_per_hour", "tokens_per_day", "tokens_per_month", "tokens_total"
    ]  # fmt: skip
    assert answer["windows"][3]["resets_at"] is None
    assert body(manager.get(f"/v1/limits/{account}")) == answer
    cleared = body(put(manager, account, {"tokens_per_day": 5}))
    assert (cleared["tokens_per_hour"], cleared["concurrency"], cleared["tokens_per_day"]) == (None, None, 5)


def test_a_sub_tokens_rate_is_the_one_of_its_policy(manager: ApiClient) -> None:
    token = made(manager)
    put(manager, by_level(manager)["sub_token"]["account"], {"requests_per_second": 2.5, "concurrency": 3})
    shown = body(manager.get(f"/v1/sub_tokens/{token['id']}"))
    assert (float(shown["requests_per_second"]), shown["concurrency"]) == (2.5, 3)


def test_limits_are_felt_at_once_and_show_what_is_used(manager: ApiClient, rich: Organization) -> None:
    made(manager)
    rows = by_level(manager)
    put(manager, rows["team"]["account"], {"tokens_per_hour": 1})
    with organization_scope(rich.id):
        account = Account.objects.get(id=rows["sub_token"]["account"])
    now = timezone.now()
    make_hold(account, 700, now=now)
    with pytest.raises(HourlyLimitExceeded):
        make_hold(account, 301, now=now)
    (window,) = by_level(manager)["team"]["windows"]
    assert (float(window["used_tokens"]), float(window["remaining_tokens"])) == (0.7, 0.3)


def test_the_organization_decides_what_happens_while_requests_cannot_be_counted(
    manager: ApiClient, rich: Organization
) -> None:
    made(manager)
    rows = by_level(manager)
    assert (
        body(put(manager, rows["organization"]["account"], {"when_uncounted": "refuse"}))["when_uncounted"] == "refuse"
    )
    # Left out, it stays.
    assert body(put(manager, rows["organization"]["account"], {}))["when_uncounted"] == "refuse"
    assert put(manager, rows["team"]["account"], {"when_uncounted": "refuse"}).status_code == 422
    with organization_scope(rich.id):
        event = AuditEvent.objects.get(action="organization.when_uncounted_changed")
    assert (event.before, event.after) == ({"when_uncounted": "pass"}, {"when_uncounted": "refuse"})


@pytest.mark.parametrize(
    "data",
    [
        {"tokens_per_hour": -1},
        {"tokens_per_hour": 0.0001},
        {"requests_per_second": 0},
        {"requests_per_day": 0},
        {"concurrency": "many"},
        {"tokens_per_week": 5},
        [],
    ],
)
def test_what_is_not_valid_changes_nothing(manager: ApiClient, data: Any) -> None:
    account = by_level(manager)["organization"]["account"]
    assert put(manager, account, data).status_code == 422
    assert by_level(manager)["organization"]["tokens_per_hour"] is None


def test_an_outsider_finds_nothing(manager: ApiClient, outsider: ApiClient) -> None:
    made(manager)
    account = by_level(manager)["team"]["account"]
    for response in (outsider.get(f"/v1/limits/{account}"), put(outsider, account, {"tokens_per_hour": 1})):
        assert (response.status_code, body(response)["code"]) == (404, "not_found")
    assert put(manager, uuid.uuid4(), {}).status_code == 404
    assert [row["level"] for row in body(outsider.get("/v1/limits"))["data"]] == ["organization"]
    assert by_level(manager)["team"]["tokens_per_hour"] is None


def test_looking_and_setting_are_scopes_of_their_own(rich: Organization, manager: ApiClient) -> None:
    account = by_level(manager)["organization"]["account"]
    looker = manager_of(rich, Permission.LIMITS_VIEW)
    assert looker.get("/v1/limits").status_code == 200
    assert put(looker, account, {}).status_code == 403
    assert manager_of(rich, Permission.LEDGER_VIEW).get("/v1/limits").status_code == 403
