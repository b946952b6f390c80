"""The tree, pools and splits over the API: the same acts as on the pages, once per key, and nothing across the wall."""

from __future__ import annotations

from decimal import Decimal
from http import HTTPStatus
from typing import Any

import pytest

from billing.models import Account, SubToken
from billing.queries.credentials import credential_for_secret
from tenants.models import Organization
from tenants.permissions import Permission
from tenants.scope import organization_scope
from tests.api_client import ApiClient, body, manager_of
from tests.factories.billing import assert_ledger_clean

pytestmark = pytest.mark.django_db


def make_team(manager: ApiClient, name: str, parent: str | None = None, **more: Any) -> str:
    answer = manager.post("/v1/teams", {"name": name, "parent": parent, "mode": "allocated", "tokens": 0, **more})
    assert answer.status_code == HTTPStatus.CREATED, answer.content
    return body(answer)["id"]


def tree(manager: ApiClient) -> dict[str, Any]:
    return {row["name"] or row["kind"]: row for row in body(manager.get("/v1/accounts"))["data"]}


def test_tokens_go_down_sideways_and_up_again(manager: ApiClient) -> None:
    one, two = make_team(manager, "One"), make_team(manager, "Two")
    given = manager.post(f"/v1/teams/{one}/allocate", {"tokens": 40})
    assert (given.status_code, body(given)["free_tokens"]) == (HTTPStatus.OK, 40)
    moved = body(manager.post(f"/v1/teams/{one}/move", {"to": two, "tokens": "15.5"}))
    assert (moved["moved_tokens"], moved["source"]["free_tokens"], moved["target"]["free_tokens"]) == (
        Decimal("15.5"),
        Decimal("24.5"),
        Decimal("15.5"),
    )
    taken = body(manager.post(f"/v1/teams/{two}/reclaim", {}))
    assert (taken["reclaimed_tokens"], taken["free_tokens"]) == (Decimal("15.5"), 0)
    assert tree(manager)["org_wallet"]["free_tokens"] == Decimal("75.5")
    refused = manager.post(f"/v1/teams/{one}/move", {"to": two, "tokens": 25})
    assert (refused.status_code, body(refused)["available_tokens"]) == (429, Decimal("24.5"))
    assert_ledger_clean()


def test_the_tree_says_what_each_has_alone_and_with_all_below(manager: ApiClient) -> None:
    outer = make_team(manager, "Outer", tokens=60)
    inner = make_team(manager, "Inner", outer, tokens=25)
    made = manager.post("/v1/sub_tokens", {"name": "Leaf", "team": inner, "tokens": 5})
    assert made.status_code == HTTPStatus.CREATED
    found = tree(manager)
    assert {name: (row["free_tokens"], row["below"]["free_tokens"]) for name, row in found.items()} == {
        "org_wallet": (40, 100),
        "Outer": (35, 60),
        "Inner": (20, 25),
        "Leaf": (5, 5),
    }
    assert found["Leaf"]["parent"] == found["Inner"]["id"]
    assert body(manager.get(f"/v1/accounts/{found['Inner']['id']}")) == found["Inner"]


def test_a_ceiling_is_set_over_the_api(manager: ApiClient) -> None:
    team = make_team(manager, "Capped", mode="capped", tokens=10)
    leaf = body(manager.post("/v1/sub_tokens", {"name": "Leaf", "team": team, "tokens": 4, "mode": "allocated"}))
    refused = manager.post(f"/v1/teams/{team}/ceiling", {"tokens": 3.999})
    assert (refused.status_code, body(refused)["drawn_tokens"]) == (HTTPStatus.CONFLICT, 4)
    assert body(manager.post(f"/v1/teams/{team}/ceiling", {"tokens": 4}))["ceiling_tokens"] == 4
    assert body(manager.post(f"/v1/teams/{team}/ceiling", {"tokens": None}))["ceiling_tokens"] is None
    assert manager.post(f"/v1/sub_tokens/{leaf['id']}/ceiling", {"tokens": 1}).status_code == HTTPStatus.CONFLICT


def test_a_pool_is_opened_once(manager: ApiClient, rich: Organization) -> None:
    team = make_team(manager, "Has one")
    assert manager.post(f"/v1/teams/{team}/pool", {}).status_code == HTTPStatus.CONFLICT


def test_a_split_is_exact_and_shows_its_secrets_once(manager: ApiClient) -> None:
    wallet = tree(manager)["org_wallet"]["id"]
    asked = {"tokens": 10, "parts": [{"name": f"Line {n}"} for n in range(3)], "expires_in_days": 7}
    dry = manager.post(f"/v1/accounts/{wallet}/split", asked | {"dry_run": True})
    assert dry.status_code == HTTPStatus.OK
    assert [part["tokens"] for part in body(dry)["sub_tokens"]] == [
        Decimal("3.334"),
        Decimal("3.333"),
        Decimal("3.333"),
    ]
    first = manager.post(f"/v1/accounts/{wallet}/split", asked, Idempotency_Key="split-1")
    again = manager.post(f"/v1/accounts/{wallet}/split", asked, Idempotency_Key="split-1")
    assert (first.status_code, again.status_code) == (HTTPStatus.CREATED, HTTPStatus.CREATED)
    made = body(first)["sub_tokens"]
    assert sum(part["tokens"] for part in made) == 10
    assert [part["id"] for part in body(again)["sub_tokens"]] == [part["id"] for part in made]
    assert [part["secret"] for part in body(again)["sub_tokens"]] == [None] * 3
    for part in made:
        credential = credential_for_secret(part["secret"])
        assert credential is not None
        assert str(credential.sub_token_id) == part["id"]
    assert tree(manager)["org_wallet"]["free_tokens"] == 90
    assert_ledger_clean()


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"tokens": None}, "tokens"),
        ({"by": "weight"}, "parts"),
        ({"by": "amount"}, "parts"),
        ({"by": "weight", "parts": [{"name": "A", "weight": 0}]}, "parts"),
        ({"tokens": 0.001, "parts": [{"name": "A"}, {"name": "B"}]}, "parts"),
        ({"parts": []}, "parts"),
        ({"parts": [{"name": "A"}] * 1_001}, "parts"),
        ({"grant": "019aa3b2-7c1e-7c3a-9a55-0d5a3b6c1f10"}, "grant"),
        ({"expires_in_days": 36500}, "expires_in_days"),
        ({"name": "no such member"}, "name"),
    ],
)
def test_a_split_that_makes_no_sense_is_refused(manager: ApiClient, change: dict[str, Any], field: str) -> None:
    wallet = tree(manager)["org_wallet"]["id"]
    answer = manager.post(f"/v1/accounts/{wallet}/split", {"tokens": 10, "parts": [{"name": "A"}]} | change)
    assert answer.status_code == HTTPStatus.UNPROCESSABLE_ENTITY
    assert field in body(answer)["errors"]


def test_more_than_there_is_makes_none_of_them(manager: ApiClient, rich: Organization) -> None:
    wallet = tree(manager)["org_wallet"]["id"]
    parts = [{"name": "A", "tokens": 60}, {"name": "B", "tokens": 40.001}]
    answer = manager.post(f"/v1/accounts/{wallet}/split", {"by": "amount", "parts": parts})
    assert (answer.status_code, body(answer)["code"]) == (429, "insufficient_tokens")
    with organization_scope(rich.id):
        assert not SubToken.objects.exists()


def test_sharing_out_anew_is_previewed_done_and_not_done_on_old_numbers(manager: ApiClient) -> None:
    one, two = make_team(manager, "One", tokens=30), make_team(manager, "Two", tokens=70)
    accounts = tree(manager)
    wallet = accounts["org_wallet"]["id"]
    changes = [{"account": accounts["One"]["id"], "tokens": "-10.5"}, {"account": accounts["Two"]["id"], "tokens": 10}]
    seen = body(manager.post(f"/v1/accounts/{wallet}/rearrange", {"changes": changes, "dry_run": True}))
    assert (seen["free_tokens_before"], seen["free_tokens_after"]) == (0, Decimal("0.5"))
    assert tree(manager)["One"]["free_tokens"] == 30
    asked = {"changes": changes, "state": seen["state"]}
    done = manager.post(f"/v1/accounts/{wallet}/rearrange", asked)
    assert (done.status_code, body(done)) == (HTTPStatus.OK, seen)
    stale = manager.post(f"/v1/accounts/{wallet}/rearrange", asked)
    assert (stale.status_code, body(stale)["code"]) == (HTTPStatus.CONFLICT, "conflict")
    after = tree(manager)
    assert [after[name]["free_tokens"] for name in ("org_wallet", "One", "Two")] == [
        Decimal("0.5"),
        Decimal("19.5"),
        80,
    ]
    assert one != two
    assert_ledger_clean()


def test_a_project_ends_with_all_that_is_below_it(manager: ApiClient) -> None:
    outer = make_team(manager, "Outer", tokens=60)
    inner = make_team(manager, "Inner", outer, tokens=25)
    leaf = body(manager.post("/v1/sub_tokens", {"name": "Leaf", "team": inner, "tokens": 5}))
    answer = manager.post(f"/v1/teams/{outer}/reclaim_all", {"revoke": True}, Idempotency_Key="end")
    assert body(answer) == {
        "reclaimed_tokens": 60,
        "accounts": 3,
        "held_tokens": 0,
        "revoked_sub_tokens": [leaf["id"]],
    }
    assert body(manager.post(f"/v1/teams/{outer}/reclaim_all", {"revoke": True}, Idempotency_Key="end")) == body(answer)
    assert tree(manager)["org_wallet"]["free_tokens"] == 100
    assert body(manager.get(f"/v1/sub_tokens/{leaf['id']}"))["status"] == "revoked"


def test_revoking_needs_a_scope_of_its_own(manager: ApiClient, rich: Organization) -> None:
    outer = make_team(manager, "Outer", tokens=60)
    finance = manager_of(rich, Permission.BILLING_MANAGE)
    assert finance.post(f"/v1/teams/{outer}/reclaim_all", {"revoke": True}).status_code == HTTPStatus.FORBIDDEN
    assert finance.post(f"/v1/teams/{outer}/reclaim_all", {}).status_code == HTTPStatus.OK


def test_an_outsider_finds_nothing_and_points_to_nothing(manager: ApiClient, outsider: ApiClient) -> None:
    team = make_team(manager, "Ours", tokens=60)
    theirs = make_team(outsider, "Theirs", tokens=60)
    leaf = body(manager.post("/v1/sub_tokens", {"name": "Leaf", "team": team, "tokens": 5}))["id"]
    ours = {row["id"] for row in body(manager.get("/v1/accounts"))["data"]}
    assert ours.isdisjoint(row["id"] for row in body(outsider.get("/v1/accounts"))["data"])
    account = tree(manager)["Ours"]["id"]
    before = tree(manager)
    for path, sent in [
        (f"/v1/teams/{team}/pool", {}),
        (f"/v1/teams/{team}/allocate", {"tokens": 1}),
        (f"/v1/teams/{team}/reclaim", {}),
        (f"/v1/teams/{team}/reclaim_all", {"revoke": True}),
        (f"/v1/teams/{team}/ceiling", {"tokens": None}),
        (f"/v1/teams/{team}/move", {"to": theirs}),
        (f"/v1/sub_tokens/{leaf}/move", {"to": leaf}),
        (f"/v1/sub_tokens/{leaf}/ceiling", {"tokens": 1}),
        (f"/v1/accounts/{account}/rearrange", {"changes": [{"account": account, "tokens": 1}]}),
        (f"/v1/accounts/{account}/split", {"tokens": 1, "parts": [{"name": "A"}]}),
    ]:
        assert outsider.post(path, sent).status_code == HTTPStatus.NOT_FOUND, path
    assert outsider.post(f"/v1/teams/{theirs}/move", {"to": team}).status_code == HTTPStatus.UNPROCESSABLE_ENTITY
    wallet = tree(outsider)["org_wallet"]["id"]
    changes = [{"account": account, "tokens": 1}]
    assert outsider.post(f"/v1/accounts/{wallet}/rearrange", {"changes": changes}).status_code == HTTPStatus.NOT_FOUND
    assert tree(manager) == before


def test_packages_are_listed_by_currency(manager: ApiClient) -> None:
    every = body(manager.get("/v1/packages"))["packages"]
    assert {package["currency"] for package in every} == {"CNY", "USD"}
    yuan = body(manager.get("/v1/packages", currency="CNY"))["packages"]
    assert [package["tokens"] for package in yuan] == [1_000, 10_000, 100_000, 1_000_000]
    assert yuan[0]["price_minor"] == 1_000
    assert manager.get("/v1/packages", currency="EUR").status_code == HTTPStatus.UNPROCESSABLE_ENTITY


def test_accounts_have_no_orphans(manager: ApiClient, rich: Organization) -> None:
    make_team(manager, "One", make_team(manager, "Zero"))
    with organization_scope(rich.id):
        assert Account.objects.filter(kind="team_pool", parent=None).count() == 0
