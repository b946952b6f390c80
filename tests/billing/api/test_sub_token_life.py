"""`/v1/sub_tokens/...`: changing, rotating, suspending, resuming, revoking, many at once, and whose a secret is."""

import json
import uuid
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.utils import timezone

from billing.models import SubToken
from billing.queries.credentials import forget_credentials
from tenants.models import AuditEvent, Organization
from tenants.permissions import Permission
from tenants.scope import organization_scope
from tenants.secrets import SecretKind, new_secret
from tests.api_client import ApiClient, body, manager_of
from tests.factories.billing import make_hold

pytestmark = pytest.mark.django_db


def made(manager: ApiClient, **fields: Any) -> dict[str, Any]:
    response = manager.post("/v1/sub_tokens", {"name": "Line 1", "tokens": 10, **fields})
    assert response.status_code == 201, response.content
    return body(response)


def patch(manager: ApiClient, path: str, data: Any) -> Any:
    return manager.raw("PATCH", path, json.dumps(data).encode(), "application/json")


def calls(secret: str) -> tuple[int, str]:
    """Call with a secret in a process that remembers nothing, as every process does after 0.8 seconds."""
    forget_credentials()
    response = ApiClient(secret).get("/v1/balance")
    return response.status_code, body(response).get("code", "")


def actions(organization: Organization) -> list[str]:
    with organization_scope(organization.id):
        return list(AuditEvent.objects.filter(target_kind="sub_token").order_by("id").values_list("action", flat=True))


# Rotation


def test_both_secrets_work_through_the_grace(manager: ApiClient) -> None:
    old = made(manager)
    path = f"/v1/sub_tokens/{old['id']}"
    before = timezone.now()
    new = body(manager.post(f"{path}/rotate"))
    assert new["secret"].startswith(new["prefix"])
    assert {name for name in old if old[name] != new[name]} == {"secret", "prefix", "old_secrets"}
    (kept,) = new["old_secrets"]
    assert kept["prefix"] == old["prefix"]
    assert timedelta() <= datetime.fromisoformat(kept["ends_at"]) - before - timedelta(hours=24) < timedelta(minutes=1)
    assert calls(old["secret"]) == calls(new["secret"]) == (200, "")


def test_without_a_grace_the_old_secret_is_dead_at_once(manager: ApiClient) -> None:
    old = made(manager)
    new = body(manager.post(f"/v1/sub_tokens/{old['id']}/rotate", {"grace_hours": 0}))
    assert new["old_secrets"] == []
    assert calls(old["secret"]) == (401, "revoked_token")
    assert calls(new["secret"]) == (200, "")


def test_the_secret_is_shown_once_however_often_the_request_comes(manager: ApiClient) -> None:
    path = f"/v1/sub_tokens/{made(manager)['id']}/rotate"
    new = body(manager.post(path, Idempotency_Key="rotate-1"))
    assert body(manager.post(path, Idempotency_Key="rotate-1")) == {**new, "secret": None}
    assert calls(new["secret"]) == (200, "")


def test_a_second_rotation_leaves_the_first_grace_as_it_was(manager: ApiClient) -> None:
    first = made(manager)
    path = f"/v1/sub_tokens/{first['id']}/rotate"
    second = body(manager.post(path, {"grace_hours": 1}))
    third = body(manager.post(path, {"grace_hours": 100}))
    assert [one["prefix"] for one in third["old_secrets"]] == [first["prefix"], second["prefix"]]
    assert third["old_secrets"][0] == second["old_secrets"][0]
    assert [calls(one["secret"])[0] for one in (first, second, third)] == [200, 200, 200]


def test_a_shorter_second_grace_is_the_end_of_the_first_too(manager: ApiClient) -> None:
    first = made(manager)
    path = f"/v1/sub_tokens/{first['id']}/rotate"
    second = body(manager.post(path, {"grace_hours": 100}))
    third = body(manager.post(path, {"grace_hours": 0}))
    assert third["old_secrets"] == []
    assert [calls(one["secret"])[0] for one in (first, second, third)] == [401, 401, 200]


def test_a_grace_is_ended_early(manager: ApiClient, rich: Organization) -> None:
    old = made(manager)
    path = f"/v1/sub_tokens/{old['id']}"
    new = body(manager.post(f"{path}/rotate"))
    assert body(manager.post(f"{path}/end_grace"))["old_secrets"] == []
    assert calls(old["secret"]) == (401, "revoked_token")
    assert calls(new["secret"]) == (200, "")
    assert manager.post(f"{path}/end_grace").status_code == 200
    assert actions(rich) == ["sub_token.created", "sub_token.rotated", "sub_token.grace_ended"]


@pytest.mark.parametrize("hours", [-1, 169, 1.5, "x", None, True, 10**20])
def test_a_grace_out_of_range(manager: ApiClient, hours: Any) -> None:
    old = made(manager)
    response = manager.post(f"/v1/sub_tokens/{old['id']}/rotate", {"grace_hours": hours})
    assert (response.status_code, list(body(response)["errors"])) == (422, ["grace_hours"])
    assert calls(old["secret"]) == (200, "")


def test_neither_secret_outlives_the_sub_token(manager: ApiClient, rich: Organization) -> None:
    old = made(manager)
    path = f"/v1/sub_tokens/{old['id']}"
    new = body(manager.post(f"{path}/rotate"))
    manager.post(f"{path}/revoke")
    assert calls(old["secret"]) == calls(new["secret"]) == (401, "revoked_token")
    assert manager.post(f"{path}/rotate").status_code == 409


# Changing


def test_only_what_is_sent_changes_and_it_is_written_down(manager: ApiClient, rich: Organization) -> None:
    old = made(manager, requests_per_second=5, models=["yolo26n"])
    path = f"/v1/sub_tokens/{old['id']}"
    del old["secret"]
    changes = {"name": "Line 2", "requests_per_second": 2.5, "models": None, "tags": {"site": "Ulm"}}
    new = body(patch(manager, path, changes))
    assert new == {
        **old,
        "name": "Line 2",
        "requests_per_second": Decimal("2.5"),
        "models": [],
        "tags": {"site": "Ulm"},
    }
    assert body(manager.get(path)) == new
    with organization_scope(rich.id):
        event = AuditEvent.objects.get(action="sub_token.changed")
    assert event.before == {"name": "Line 1", "requests_per_second": "5.000", "models": ["yolo26n"], "tags": {}}
    assert event.after == {"name": "Line 2", "requests_per_second": "2.500", "models": [], "tags": {"site": "Ulm"}}


def test_nothing_to_change_is_no_event(manager: ApiClient, rich: Organization) -> None:
    old = made(manager)
    assert patch(manager, f"/v1/sub_tokens/{old['id']}", {}).status_code == 200
    assert patch(manager, f"/v1/sub_tokens/{old['id']}", {"name": "Line 1", "tags": None}).status_code == 200
    assert actions(rich) == ["sub_token.created"]


def test_an_expired_one_is_extended_and_works_again(manager: ApiClient, rich: Organization) -> None:
    old = made(manager)
    with organization_scope(rich.id):
        sub_token = SubToken.objects.get()
        sub_token.expires_at = sub_token.account.expires_at = timezone.now()
        sub_token.save()
        sub_token.account.save()
    assert calls(old["secret"]) == (401, "expired_token")
    new = body(patch(manager, f"/v1/sub_tokens/{old['id']}", {"expires_in_days": 7}))
    assert new["status"] == "active"
    assert calls(old["secret"]) == (200, "")
    with organization_scope(rich.id):
        account = SubToken.objects.get().account
    assert account.expires_at == datetime.fromisoformat(new["expires_at"])
    make_hold(account, 1_000, now=timezone.now())


def test_the_policy_of_now_goes_for_the_next_call(manager: ApiClient) -> None:
    old = made(manager)
    assert calls(old["secret"]) == (200, "")
    patch(manager, f"/v1/sub_tokens/{old['id']}", {"ip_allow_list": ["198.51.100.0/24"]})
    assert calls(old["secret"]) == (403, "ip_not_allowed")


@pytest.mark.parametrize(
    ("change", "member"),
    [
        ({"name": ""}, "name"),
        ({"name": None}, "name"),
        ({"team": None}, "team"),
        ({"mode": "capped"}, "mode"),
        ({"tokens": 5}, "tokens"),
        ({"expires_at": "2020-01-01T00:00:00Z"}, "expires_at"),
        ({"expires_in_days": 366}, "expires_in_days"),
        ({"expires_in_days": 3, "expires_at": "2030-01-01T00:00:00Z"}, "expires_at"),
        ({"requests_per_second": 0}, "requests_per_second"),
        ({"ip_allow_list": ["10.0.0.0/33"]}, "ip_allow_list"),
        ({"priority_class": "urgent"}, "priority_class"),
        ({"tags": {"": "x"}}, "tags"),
        ({"tags": {"a": 1}}, "tags"),
        ({"tags": ["a"]}, "tags"),
        ({"colour": "red"}, "colour"),
    ],
)
def test_what_is_not_valid_changes_nothing(manager: ApiClient, change: dict[str, Any], member: str) -> None:
    old = made(manager)
    path = f"/v1/sub_tokens/{old.pop('id')}"
    response = patch(manager, path, {"name": "Other"} | change)
    assert (response.status_code, list(body(response)["errors"])) == (422, [member])
    assert body(manager.get(path))["name"] == "Line 1"


def test_a_revoked_one_is_not_changed(manager: ApiClient) -> None:
    path = f"/v1/sub_tokens/{made(manager)['id']}"
    manager.post(f"{path}/revoke")
    assert body(patch(manager, path, {"name": "Other"}))["code"] == "conflict"


# Suspending


def test_suspended_until_resumed(manager: ApiClient, rich: Organization) -> None:
    old = made(manager)
    path = f"/v1/sub_tokens/{old['id']}"
    with organization_scope(rich.id):
        account = SubToken.objects.get().account
    make_hold(account, 2_000, now=timezone.now())
    suspended = body(manager.post(f"{path}/suspend"))
    assert (suspended["status"], suspended["held_tokens"]) == ("suspended", 2)
    assert calls(old["secret"]) == (403, "suspended_token")
    assert body(manager.post(f"{path}/suspend"))["suspended_at"] == suspended["suspended_at"]
    resumed = body(manager.post(f"{path}/resume"))
    assert (resumed["status"], resumed["suspended_at"]) == ("active", None)
    assert calls(old["secret"]) == (200, "")
    make_hold(account, 2_000, now=timezone.now())
    assert manager.post(f"{path}/resume").status_code == 200
    assert actions(rich) == ["sub_token.created", "sub_token.suspended", "sub_token.resumed"]


def test_a_revoked_one_is_neither_suspended_nor_resumed(manager: ApiClient) -> None:
    old = made(manager)
    path = f"/v1/sub_tokens/{old['id']}"
    manager.post(f"{path}/suspend")
    manager.post(f"{path}/revoke")
    assert [manager.post(f"{path}/{act}").status_code for act in ("suspend", "resume")] == [409, 409]
    assert calls(old["secret"]) == (401, "revoked_token")


# Many at once


def test_many_are_suspended_and_resumed(manager: ApiClient) -> None:
    ids = [made(manager, name=f"Line {number}", tokens=1)["id"] for number in range(3)]
    manager.post(f"/v1/sub_tokens/{ids[0]}/suspend")
    answer = body(manager.post("/v1/sub_tokens/bulk", {"act": "suspend", "ids": ids}))
    assert (answer["changed"], answer["unchanged"]) == (ids[1:], ids[:1])
    assert {row["status"] for row in body(manager.get("/v1/sub_tokens"))["data"]} == {"suspended"}
    assert body(manager.post("/v1/sub_tokens/bulk", {"act": "resume", "ids": ids}))["changed"] == ids
    assert {row["status"] for row in body(manager.get("/v1/sub_tokens"))["data"]} == {"active"}


def test_many_are_revoked_and_emptied_as_the_dry_run_said(manager: ApiClient, rich: Organization) -> None:
    ids = [made(manager, tokens=10)["id"], made(manager, mode="capped", tokens=20)["id"], made(manager, tokens=5)["id"]]
    with organization_scope(rich.id):
        account = SubToken.objects.get(id=ids[0]).account
    make_hold(account, 3_000, now=timezone.now())
    asked = {"act": "revoke", "ids": ids, "reclaim": True}
    said = body(manager.post("/v1/sub_tokens/bulk", {**asked, "dry_run": True}))
    assert body(manager.get(f"/v1/sub_tokens/{ids[0]}"))["status"] == "active"
    did = body(manager.post("/v1/sub_tokens/bulk", asked))
    assert {**said, "dry_run": False} == did
    assert (did["held_tokens"], did["reclaimed_tokens"], did["left_tokens"]) == (3, 12, 0)
    assert body(manager.get("/v1/balance"))["available_tokens"] == 97
    again = body(manager.post("/v1/sub_tokens/bulk", asked))
    assert (again["changed"], again["reclaimed_tokens"]) == ([], 0)


def test_many_are_extended(manager: ApiClient) -> None:
    ids = [made(manager, tokens=1)["id"] for _ in range(2)]
    until = (timezone.now() + timedelta(days=90)).replace(microsecond=0)
    manager.post("/v1/sub_tokens/bulk", {"act": "expire", "ids": ids, "expires_at": until.isoformat()})
    found = {datetime.fromisoformat(row["expires_at"]) for row in body(manager.get("/v1/sub_tokens"))["data"]}
    assert found == {until}


@pytest.mark.parametrize(
    ("change", "member"),
    [
        ({"act": "burn"}, "act"),
        ({"ids": []}, "ids"),
        ({"ids": ["x"]}, "ids"),
        ({"ids": [str(uuid.uuid4())] * 501}, "ids"),
        ({"act": "expire"}, "expires_at"),
        ({"act": "expire", "expires_at": "2020-01-01T00:00:00Z"}, "expires_at"),
        ({"expires_in_days": 3}, "expires_in_days"),
        ({"reclaim": True}, "reclaim"),
    ],
)
def test_a_bulk_act_that_makes_no_sense(manager: ApiClient, change: dict[str, Any], member: str) -> None:
    made_id = made(manager)["id"]
    response = manager.post("/v1/sub_tokens/bulk", {"act": "suspend", "ids": [made_id], **change})
    assert (response.status_code, list(body(response)["errors"])) == (422, [member])
    assert body(manager.get(f"/v1/sub_tokens/{made_id}"))["status"] == "active"


def test_one_that_is_not_there_stops_all(manager: ApiClient, outsider: ApiClient) -> None:
    mine, theirs = made(manager)["id"], made(outsider)["id"]
    for stranger in (theirs, str(uuid.uuid4())):
        for extra in ({}, {"dry_run": True}):
            response = manager.post("/v1/sub_tokens/bulk", {"act": "suspend", "ids": [mine, stranger], **extra})
            assert (response.status_code, body(response)["code"]) == (404, "not_found")
    assert body(manager.get(f"/v1/sub_tokens/{mine}"))["status"] == "active"
    assert body(outsider.get(f"/v1/sub_tokens/{theirs}"))["status"] == "active"


# Whose secret is this?


def test_a_found_secret_is_told_whose_it_is(manager: ApiClient) -> None:
    old = made(manager)
    new = body(manager.post(f"/v1/sub_tokens/{old['id']}/rotate"))

    def states(**question: str) -> list[tuple[str, str]]:
        data = body(manager.post("/v1/sub_tokens/lookup", question))["data"]
        return [(row["sub_token"]["id"], row["state"]) for row in data]

    assert states(secret=new["secret"]) == states(prefix=new["prefix"]) == [(old["id"], "current")]
    assert states(secret=old["secret"]) == states(prefix=old["prefix"][:8]) == [(old["id"], "grace")]
    manager.post(f"/v1/sub_tokens/{old['id']}/end_grace")
    assert states(secret=old["secret"]) == [(old["id"], "ended")]
    assert states(secret=new_secret(SecretKind.SUB_TOKEN)) == []


@pytest.mark.parametrize(
    "question", [{}, {"prefix": "tsk_"}, {"prefix": "tsk_%%%%"}, {"secret": "a", "prefix": "tsk_abcd"}]
)
def test_a_question_that_is_none(manager: ApiClient, question: dict[str, str]) -> None:
    assert manager.post("/v1/sub_tokens/lookup", question).status_code == 422


def test_another_organization_s_secret_is_not_found(manager: ApiClient, outsider: ApiClient) -> None:
    theirs = made(manager)
    for question in ({"secret": theirs["secret"]}, {"prefix": theirs["prefix"]}):
        assert body(outsider.post("/v1/sub_tokens/lookup", question)) == {"data": []}


# Walls


@pytest.mark.parametrize("act", ["", "/rotate", "/end_grace", "/suspend", "/resume", "/revoke"])
def test_an_outsider_finds_the_same_nothing_as_for_an_id_that_never_was(
    manager: ApiClient, outsider: ApiClient, act: str
) -> None:
    theirs = made(manager)

    def answer(sub_token_id: str) -> tuple[int, dict[str, Any]]:
        path = f"/v1/sub_tokens/{sub_token_id}{act}"
        response = outsider.post(path) if act else patch(outsider, path, {"name": "Mine"})
        problem = body(response)
        del problem["request_id"]
        return response.status_code, problem

    assert answer(theirs["id"]) == answer(str(uuid.uuid4()))
    assert answer(theirs["id"])[0] == 404
    after = body(manager.get(f"/v1/sub_tokens/{theirs['id']}"))
    assert after == {name: value for name, value in theirs.items() if name != "secret"}


@pytest.mark.parametrize("act", ["", "/rotate", "/end_grace", "/suspend", "/resume", "/revoke"])
def test_looking_is_not_doing(manager: ApiClient, rich: Organization, act: str) -> None:
    path = f"/v1/sub_tokens/{made(manager)['id']}{act}"
    viewer = manager_of(rich, Permission.SUB_TOKENS_VIEW)
    response = viewer.post(path) if act else patch(viewer, path, {"name": "Mine"})
    assert (response.status_code, body(response)["code"]) == (403, "insufficient_scope")
