"""`/v1/sub_tokens`, to the letter of the contract that scripts rely on."""

import uuid
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.utils import timezone

from billing.models import SubToken
from tenants.models import Organization
from tenants.permissions import Permission
from tenants.scope import organization_scope
from tests.api_client import ApiClient, body, manager_of
from tests.factories.billing import make_hold
from tests.factories.tenants import make_team

pytestmark = pytest.mark.django_db

CONTRACT = {
    "name": "Line 1",
    "mode": "allocated",
    "tokens": 50,
    "expires_in_days": 30,
    "requests_per_second": None,
    "concurrency": None,
    "models": [],
    "tasks": [],
    "ip_allow_list": [],
    "on_exhausted": "reject",
}


def made(manager: ApiClient, **fields: Any) -> dict[str, Any]:
    response = manager.post("/v1/sub_tokens", {**CONTRACT, **fields})
    assert response.status_code == 201, response.content
    return body(response)


def test_the_contract(manager: ApiClient) -> None:
    answer = made(manager)
    assert answer["secret"].startswith(answer["prefix"])
    assert answer["secret"].startswith("tsk_")
    expires_at = datetime.fromisoformat(answer.pop("expires_at"))
    assert abs(expires_at - timezone.now() - timedelta(days=30)) < timedelta(minutes=1)
    secret, created_at = answer.pop("secret"), answer.pop("created_at")
    assert created_at.endswith("Z")
    assert answer == {
        "id": answer["id"],
        "name": "Line 1",
        "prefix": secret[:12],
        "team": None,
        "mode": "allocated",
        "tokens": 50,
        "remaining_tokens": 50,
        "held_tokens": 0,
        "used_tokens": 0,
        "status": "active",
        "requests_per_second": None,
        "burst": None,
        "concurrency": None,
        "models": [],
        "tasks": [],
        "ip_allow_list": [],
        "on_exhausted": "reject",
        "priority_class": "normal",
        "tags": {},
        "old_secrets": [],
        "created_by": "Automation",
        "revoked_at": None,
        "suspended_at": None,
        "last_used_at": None,
        "last_used_ip": None,
    }
    assert secret not in manager.get(f"/v1/sub_tokens/{answer['id']}").content.decode()


def test_showing_it_is_the_same_without_the_secret(manager: ApiClient) -> None:
    answer = made(manager)
    del answer["secret"]
    assert body(manager.get(f"/v1/sub_tokens/{answer['id']}")) == answer
    assert body(manager.get("/v1/sub_tokens")) == {"data": [answer], "next_cursor": None}


def test_the_least_that_is_asked(manager: ApiClient) -> None:
    answer = body(manager.post("/v1/sub_tokens", {"name": "Camera", "tokens": "0.001"}))
    assert (answer["mode"], answer["tokens"]) == ("allocated", Decimal("0.001"))


def test_a_policy_in_full(manager: ApiClient, rich: Organization) -> None:
    team = make_team(rich)
    answer = made(
        manager,
        team=str(team.id),
        mode="capped",
        tokens=5.625,
        requests_per_second=2.5,
        burst=10,
        concurrency=3,
        models=["yolo26n"],
        tasks=["detect"],
        ip_allow_list=["203.0.113.7", "2001:DB8::/32", "10.1.2.3/8"],
        priority_class="low",
    )
    assert answer["team"] == str(team.id)
    assert answer["tokens"] == Decimal("5.625")
    assert answer["requests_per_second"] == Decimal("2.5")
    assert answer["ip_allow_list"] == ["203.0.113.7/32", "2001:db8::/32", "10.0.0.0/8"]
    assert (answer["on_exhausted"], answer["priority_class"]) == ("reject", "low")


def test_calls_can_be_let_wait_for_tokens(manager: ApiClient) -> None:
    assert made(manager, on_exhausted="wait")["on_exhausted"] == "wait"
    unsaid = {name: value for name, value in CONTRACT.items() if name != "on_exhausted"}
    assert body(manager.post("/v1/sub_tokens", unsaid))["on_exhausted"] == "reject"


@pytest.mark.parametrize("nothing", [None, []])
def test_null_and_empty_lists_mean_as_the_plan_allows(manager: ApiClient, nothing: Any) -> None:
    answer = made(manager, models=nothing, tasks=nothing, ip_allow_list=nothing)
    assert (answer["models"], answer["tasks"], answer["ip_allow_list"]) == ([], [], [])


def test_a_capped_one_without_a_quota(manager: ApiClient) -> None:
    answer = made(manager, mode="capped", tokens=None)
    assert (answer["tokens"], answer["remaining_tokens"]) == (None, 100)


def test_minutes_are_said_as_a_time(manager: ApiClient) -> None:
    soon = timezone.now() + timedelta(minutes=5)
    answer = made(manager, expires_in_days=None, expires_at=soon.isoformat())
    assert datetime.fromisoformat(answer["expires_at"]) == soon


@pytest.mark.parametrize(
    ("fields", "member"),
    [
        ({"name": ""}, "name"),
        ({"name": "x" * 121}, "name"),
        ({"name": None}, "name"),
        ({"mode": "free"}, "mode"),
        ({"tokens": None}, "tokens"),
        ({"tokens": -1}, "tokens"),
        ({"tokens": 0.0001}, "tokens"),
        ({"tokens": "1.2345"}, "tokens"),
        ({"tokens": "NaN"}, "tokens"),
        ({"tokens": "1e3"}, "tokens"),
        ({"tokens": " 1"}, "tokens"),
        ({"tokens": "١"}, "tokens"),
        ({"tokens": True}, "tokens"),
        ({"tokens": []}, "tokens"),
        ({"tokens": 10**13}, "tokens"),
        ({"tokens": 10**30}, "tokens"),
        ({"tokens": 1e300}, "tokens"),
        ({"expires_in_days": 0}, "expires_in_days"),
        ({"expires_in_days": 366}, "expires_in_days"),
        ({"expires_in_days": 10**9}, "expires_in_days"),
        ({"expires_in_days": 1.5}, "expires_in_days"),
        ({"expires_in_days": None, "expires_at": "2020-01-01T00:00:00Z"}, "expires_at"),
        ({"expires_in_days": None, "expires_at": "9999-12-31T23:59:59Z"}, "expires_at"),
        ({"expires_in_days": None, "expires_at": "0001-01-01T00:00:00+14:00"}, "expires_at"),
        ({"expires_in_days": None, "expires_at": "soon"}, "expires_at"),
        ({"expires_at": "2030-01-01T00:00:00Z"}, "expires_at"),
        ({"requests_per_second": 0}, "requests_per_second"),
        ({"requests_per_second": -1}, "requests_per_second"),
        ({"requests_per_second": 1e9}, "requests_per_second"),
        ({"requests_per_second": "Infinity"}, "requests_per_second"),
        ({"burst": 0}, "burst"),
        ({"concurrency": 0}, "concurrency"),
        ({"concurrency": True}, "concurrency"),
        ({"models": ["x" * 121]}, "models"),
        ({"models": "yolo26n"}, "models"),
        ({"models": [str(n) for n in range(101)]}, "models"),
        ({"tasks": [None]}, "tasks"),
        ({"ip_allow_list": ["10.0.0.0/33"]}, "ip_allow_list"),
        ({"ip_allow_list": ["example.com"]}, "ip_allow_list"),
        ({"ip_allow_list": [167772160]}, "ip_allow_list"),
        ({"on_exhausted": "ignore"}, "on_exhausted"),
        ({"priority_class": 0}, "priority_class"),
        ({"team": "nobody"}, "team"),
        ({"team": str(uuid.uuid4())}, "team"),
        ({"ip_allowlist": ["10.0.0.0/8"]}, "ip_allowlist"),
    ],
)
def test_what_is_not_valid_is_named_and_makes_nothing(
    manager: ApiClient, rich: Organization, fields: dict[str, Any], member: str
) -> None:
    response = manager.post("/v1/sub_tokens", {**CONTRACT, **fields})
    assert response.status_code == 422, response.content
    problem = body(response)
    assert problem["code"] == "validation_error"
    assert member in problem["errors"]
    with organization_scope(rich.id):
        assert not SubToken.objects.exists()
    assert body(manager.get("/v1/balance"))["available_tokens"] == 100


def test_more_than_there_is(manager: ApiClient) -> None:
    response = manager.post("/v1/sub_tokens", {**CONTRACT, "tokens": 100.001})
    problem = body(response)
    assert (response.status_code, problem["code"], problem["available_tokens"]) == (429, "insufficient_tokens", 100)
    assert problem["top_up_url"].endswith("/o/alpha/billing/top-up/")
    assert "Retry-After" not in response


def test_allocate_reclaim_revoke(manager: ApiClient, rich: Organization) -> None:
    path = f"/v1/sub_tokens/{made(manager)['id']}"
    assert body(manager.post(f"{path}/allocate", {"tokens": 10.5}))["remaining_tokens"] == Decimal("60.5")
    answer = body(manager.post(f"{path}/reclaim", {"tokens": "0.125"}))
    assert (answer["reclaimed_tokens"], answer["remaining_tokens"]) == (Decimal("0.125"), Decimal("60.375"))
    with organization_scope(rich.id):
        account = SubToken.objects.get().account
    make_hold(account, 375, now=timezone.now())
    revoked = manager.post(f"{path}/revoke")
    assert (revoked.status_code, body(revoked)["status"], body(revoked)["held_tokens"]) == (
        200,
        "revoked",
        Decimal("0.375"),
    )
    assert manager.post(f"{path}/allocate", {"tokens": 1}).status_code == 409
    answer = body(manager.post(f"{path}/reclaim"))
    assert (answer["reclaimed_tokens"], answer["remaining_tokens"]) == (60, 0)
    assert body(manager.post(f"{path}/reclaim"))["reclaimed_tokens"] == 0
    assert body(manager.post(f"{path}/revoke"))["revoked_at"] == body(revoked)["revoked_at"]


@pytest.mark.parametrize("action", ["allocate", "reclaim"])
@pytest.mark.parametrize("tokens", [0, -1, 0.0005, "x", [], True, 10**12])
def test_amounts_that_cannot_be_moved(manager: ApiClient, action: str, tokens: Any) -> None:
    response = manager.post(f"/v1/sub_tokens/{made(manager)['id']}/{action}", {"tokens": tokens})
    assert response.status_code in (422, 429)
    assert body(manager.get("/v1/sub_tokens"))["data"][0]["remaining_tokens"] == 50


def test_pages_by_cursor(manager: ApiClient) -> None:
    names = [f"Line {number}" for number in range(5)]
    for name in names:
        made(manager, name=name, tokens=1)
    seen, cursor = [], None
    while True:
        page = body(manager.get("/v1/sub_tokens", limit=2, **({"cursor": cursor} if cursor else {})))
        seen += [row["name"] for row in page["data"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break
        made(manager, name="Newcomer", tokens=1)
    assert seen == names[::-1]


@pytest.mark.parametrize(
    "query",
    [{"limit": "0"}, {"limit": "201"}, {"limit": "x"}, {"limit": "٣"}, {"limit": "9" * 5000}, {"cursor": ""},
     {"cursor": "x"}, {"cursor": "é"}, {"cursor": "\0"}, {"cursor": "A" * 23}, {"team": "x"}, {"team": "\0"}],
)  # fmt: skip
def test_wrong_pages(manager: ApiClient, query: dict[str, str]) -> None:
    response = manager.get("/v1/sub_tokens", **query)
    assert (response.status_code, body(response)["code"]) == (422, "validation_error")


def test_only_those_of_a_team(manager: ApiClient, rich: Organization) -> None:
    team = make_team(rich)
    made(manager, name="Other", tokens=1)
    made(manager, name="Team's", tokens=1, team=str(team.id))
    assert [row["name"] for row in body(manager.get("/v1/sub_tokens", team=team.id))["data"]] == ["Team's"]


@pytest.mark.parametrize("action", [None, "allocate", "reclaim"])
def test_an_outsider_finds_the_same_nothing_as_for_an_id_that_never_was(
    manager: ApiClient, outsider: ApiClient, action: str | None
) -> None:
    def answer(sub_token_id: str) -> tuple[int, dict[str, Any]]:
        path = f"/v1/sub_tokens/{sub_token_id}"
        response = (
            outsider.post(f"{path}/{action}", {"tokens": 1} if action in ("allocate", "reclaim") else None)
            if action
            else (outsider.get(path))
        )
        problem = body(response)
        del problem["request_id"]
        return response.status_code, problem

    theirs = made(manager)["id"]
    assert answer(theirs) == answer(str(uuid.uuid4()))
    assert answer(theirs)[0] == 404
    assert body(outsider.get("/v1/sub_tokens"))["data"] == []
    assert body(manager.get(f"/v1/sub_tokens/{theirs}"))["status"] == "active"


def test_a_team_of_another_organization_is_no_team(rich: Organization, outsider: ApiClient) -> None:
    response = outsider.post("/v1/sub_tokens", {**CONTRACT, "team": str(make_team(rich).id)})
    assert (response.status_code, list(body(response)["errors"])) == (422, ["team"])


@pytest.mark.parametrize(
    ("scopes", "reading", "writing"),
    [
        ([Permission.SUB_TOKENS_VIEW], 200, 403),
        ([Permission.SUB_TOKENS_MANAGE], 403, 201),
        ([Permission.LEDGER_VIEW], 403, 403),
    ],
)
def test_scopes(rich: Organization, scopes: list[Permission], reading: int, writing: int) -> None:
    key = manager_of(rich, *scopes)
    assert key.get("/v1/sub_tokens").status_code == reading
    response = key.post("/v1/sub_tokens", CONTRACT)
    assert response.status_code == writing
    if writing == 403:
        assert body(response)["code"] == "insufficient_scope"


def test_a_sub_token_administers_nothing(manager: ApiClient) -> None:
    response = ApiClient(made(manager)["secret"]).get("/v1/sub_tokens")
    assert (response.status_code, body(response)["code"]) == (403, "insufficient_scope")


def test_an_id_that_is_none(manager: ApiClient) -> None:
    for path in ("/v1/sub_tokens/1", "/v1/sub_tokens/x%00", f"/v1/sub_tokens/{uuid.uuid4()}/"):
        response = manager.get(path)
        assert (response.status_code, response["Content-Type"]) == (404, "application/problem+json")


def test_times_are_in_utc(manager: ApiClient) -> None:
    day = f"{timezone.now() + timedelta(days=20):%Y-%m-%d}"
    answer = made(manager, expires_in_days=None, expires_at=f"{day}T12:00:00+08:00")
    assert answer["expires_at"] == f"{day}T04:00:00Z"
    assert datetime.fromisoformat(answer["created_at"]).tzinfo == UTC
