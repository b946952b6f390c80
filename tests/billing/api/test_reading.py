"""Balance, grants, teams and the journal over the API: exact, paged, and nobody else's."""

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.utils import timezone

from billing.models import SubToken
from tenants.models import Organization
from tenants.permissions import Permission
from tenants.scope import organization_scope
from tests.api_client import ApiClient, body, manager_of
from tests.factories.billing import make_grant, make_hold
from tests.factories.tenants import make_team

pytestmark = pytest.mark.django_db


def made(manager: ApiClient, **fields: Any) -> dict[str, Any]:
    response = manager.post("/v1/sub_tokens", {"name": "Line 1", "tokens": 50, **fields})
    assert response.status_code == 201, response.content
    return body(response)


def account_of(organization: Organization, sub_token_id: str) -> Any:
    with organization_scope(organization.id):
        return SubToken.objects.select_related("account").get(id=sub_token_id).account


EMPTY = {"available_tokens": 0, "held_tokens": 0, "frozen_tokens": 0, "debt_tokens": 0, "grants": []}


class TestBalance:
    def test_an_organizations(self, manager: ApiClient, rich: Organization) -> None:
        soon = timezone.now().replace(microsecond=0) + timedelta(days=3)
        gift = make_grant(rich, 1, expires_at=soon, priority=10, now=timezone.now())
        account = account_of(rich, made(manager)["id"])
        make_hold(account, 1_001, now=timezone.now())
        answer = body(manager.get("/v1/balance"))
        assert set(answer) == {"available_tokens", "held_tokens", "frozen_tokens", "debt_tokens", "grants"}
        assert (answer["frozen_tokens"], answer["debt_tokens"]) == (0, 0)
        assert (answer["available_tokens"], answer["held_tokens"]) == (Decimal("99"), Decimal("1.001"))
        first, second = answer["grants"]
        assert first == {
            "id": str(gift.id),
            "source": "purchase",
            "tokens": Decimal("0.001"),
            "remaining_tokens": Decimal("0.001"),
            "expires_at": soon.isoformat().replace("+00:00", "Z"),
        }
        assert (second["tokens"], second["remaining_tokens"], second["expires_at"]) == (100, 100, None)

    def test_a_sub_tokens_own(self, manager: ApiClient, rich: Organization) -> None:
        created = made(manager)
        make_hold(account_of(rich, created["id"]), 700, now=timezone.now())
        answer = body(ApiClient(created["secret"]).get("/v1/balance"))
        assert (answer["available_tokens"], answer["held_tokens"]) == (Decimal("49.3"), Decimal("0.7"))
        (share,) = answer["grants"]
        assert (share["tokens"], share["remaining_tokens"]) == (50, Decimal("49.3"))

    def test_a_capped_sub_tokens(self, manager: ApiClient) -> None:
        secret = made(manager, mode="capped", tokens=5)["secret"]
        assert body(ApiClient(secret).get("/v1/balance")) == {**EMPTY, "available_tokens": 5}

    def test_another_organizations_is_not_in_it(self, manager: ApiClient, beta: Organization) -> None:
        outsider = manager_of(beta)
        assert body(outsider.get("/v1/balance")) == EMPTY

    def test_its_scope(self, rich: Organization) -> None:
        assert manager_of(rich, Permission.LEDGER_VIEW).get("/v1/balance").status_code == 403

    def test_numbers_never_show_a_floats_error(self, manager: ApiClient, rich: Organization) -> None:
        for mtok in (100, 200):
            make_grant(rich, mtok, now=timezone.now())
        created = made(manager, tokens="100.3")
        assert b'"tokens":100.3,' in manager.get(f"/v1/sub_tokens/{created['id']}").content


class TestGrants:
    def test_all_of_them_with_what_is_left(self, manager: ApiClient, rich: Organization) -> None:
        made(manager)
        second = make_grant(rich, 2_500, now=timezone.now())
        answer = body(manager.get("/v1/grants", limit=1))
        (row,) = answer["data"]
        assert (row["id"], row["tokens"], row["remaining_tokens"]) == (str(second.id), Decimal("2.5"), Decimal("2.5"))
        assert (row["source"], row["priority"], row["expires_at"]) == ("purchase", 50, None)
        (row,) = body(manager.get("/v1/grants", limit=1, cursor=answer["next_cursor"]))["data"]
        assert (row["tokens"], row["remaining_tokens"]) == (100, 100)

    def test_outsiders_see_their_own(self, rich: Organization, outsider: ApiClient) -> None:
        assert [row["tokens"] for row in body(outsider.get("/v1/grants"))["data"]] == [100]

    def test_nobody_makes_tokens(self, manager: ApiClient) -> None:
        assert manager.post("/v1/grants", {"tokens": 1}).status_code == 405


class TestTeams:
    def test_a_team_with_tokens_of_its_own(self, manager: ApiClient) -> None:
        response = manager.post("/v1/teams", {"name": "Factory", "mode": "allocated", "tokens": 30})
        team = body(response)
        assert response.status_code == 201
        assert team["pool"] == {"mode": "allocated", "quota_tokens": None, "remaining_tokens": 30, "held_tokens": 0}
        assert made(manager, team=team["id"], tokens=30)["team"] == team["id"]
        assert manager.post("/v1/sub_tokens", {"name": "x", "tokens": 1, "team": team["id"]}).status_code == 429
        assert body(manager.get("/v1/teams"))["data"][0]["pool"]["remaining_tokens"] == 0

    def test_a_team_with_a_quota_inside_another(self, manager: ApiClient) -> None:
        parent = body(manager.post("/v1/teams", {"name": "Factory"}))
        assert parent["pool"] == {"mode": "capped", "quota_tokens": None, "remaining_tokens": 100, "held_tokens": 0}
        child = body(manager.post("/v1/teams", {"name": "Line", "parent": parent["id"], "tokens": "12.5"}))
        assert (child["parent"], child["pool"]["quota_tokens"]) == (parent["id"], Decimal("12.5"))
        made(manager, team=child["id"], tokens=12)
        over = manager.post("/v1/sub_tokens", {"name": "x", "tokens": 1, "team": child["id"]})
        assert (body(over)["code"], body(over)["available_tokens"]) == ("quota_exceeded", Decimal("0.5"))

    def test_a_team_made_elsewhere_has_no_pool_yet(self, manager: ApiClient, rich: Organization) -> None:
        team = make_team(rich)
        assert body(manager.get("/v1/teams"))["data"][0]["pool"] is None
        made(manager, team=str(team.id))
        assert body(manager.get("/v1/teams"))["data"][0]["pool"]["mode"] == "capped"

    @pytest.mark.parametrize(
        ("fields", "status", "code"),
        [
            ({"name": "Factory"}, 409, "conflict"),
            ({"name": ""}, 422, "validation_error"),
            ({"name": "New", "parent": "019aa3b2-7c1e-7c3a-9a55-0d5a3b6c1f10"}, 422, "validation_error"),
            ({"name": "New", "tokens": -1}, 422, "validation_error"),
            ({"name": "New", "tokens": 101, "mode": "allocated"}, 429, "insufficient_tokens"),
            ({"name": "New", "budget": 1}, 422, "validation_error"),
        ],
    )
    def test_what_is_refused_makes_nothing(
        self, manager: ApiClient, fields: dict[str, Any], status: int, code: str
    ) -> None:
        manager.post("/v1/teams", {"name": "Factory"})
        response = manager.post("/v1/teams", fields)
        assert (response.status_code, body(response)["code"]) == (status, code)
        assert [team["name"] for team in body(manager.get("/v1/teams"))["data"]] == ["Factory"]

    def test_outsiders(self, manager: ApiClient, outsider: ApiClient) -> None:
        team = body(manager.post("/v1/teams", {"name": "Factory"}))
        assert body(outsider.get("/v1/teams"))["data"] == []
        assert outsider.post("/v1/teams", {"name": "Inside", "parent": team["id"]}).status_code == 422

    def test_scopes(self, rich: Organization) -> None:
        key = manager_of(rich, Permission.ORGANIZATION_VIEW)
        assert key.get("/v1/teams").status_code == 200
        assert key.post("/v1/teams", {"name": "Factory"}).status_code == 403


class TestTransfers:
    def test_each_sums_to_zero(self, manager: ApiClient) -> None:
        created = made(manager, tokens="12.345")
        manager.post(f"/v1/sub_tokens/{created['id']}/reclaim", {"tokens": "0.345"})
        rows = body(manager.get("/v1/ledger/transfers"))["data"]
        assert [row["kind"] for row in rows] == ["reclaim", "allocation", "grant"]
        for row in rows:
            assert sum(entry["tokens"] for entry in row["entries"]) == 0
        out, into = rows[1]["entries"]
        assert (out["account"]["kind"], out["tokens"]) == ("org_wallet", Decimal("-12.345"))
        assert (into["account"]["kind"], into["account"]["label"]) == ("sub_token", "Line 1")
        assert into["tokens"] == Decimal("12.345")

    def test_filters(self, manager: ApiClient, rich: Organization) -> None:
        account = account_of(rich, made(manager)["id"])

        def kinds(**query: Any) -> list[str]:
            return [row["kind"] for row in body(manager.get("/v1/ledger/transfers", **query))["data"]]

        assert kinds(kind="grant") == ["grant"]
        assert kinds(account=account.id) == ["allocation"]
        assert kinds(to=(timezone.now() - timedelta(hours=1)).isoformat()) == []
        assert kinds(**{"from": (timezone.now() - timedelta(hours=1)).isoformat()}) == ["allocation", "grant"]

    def test_an_accounts_come_a_page_at_a_time_each_once(self, manager: ApiClient, rich: Organization) -> None:
        """The allocation takes of two grants, so it has two entries in each account."""
        make_grant(rich, 2_000, priority=10, now=timezone.now())
        ours, other = made(manager, tokens=3), made(manager, tokens=1)
        for number in range(4):
            for one in (ours, other):
                manager.post(f"/v1/sub_tokens/{one['id']}/reclaim", {"tokens": f"0.{number + 1}"})
        account = str(account_of(rich, ours["id"]).id)
        rows = body(manager.get("/v1/ledger/transfers", limit=200))["data"]
        wanted = [row["id"] for row in rows if any(entry["account"]["id"] == account for entry in row["entries"])]
        assert len(wanted) == 5
        assert max(len(row["entries"]) for row in rows) == 4
        for query in ({}, {"from": "2001-01-01T00:00:00Z"}, {"to": "2199-01-01T00:00:00Z"}):
            found, cursor = [], {}
            while cursor is not None:
                page = body(manager.get("/v1/ledger/transfers", account=account, limit=2, **query, **cursor))
                found += [row["id"] for row in page["data"]]
                cursor = {"cursor": page["next_cursor"]} if page["next_cursor"] else None
            assert found == wanted
        reclaims = body(manager.get("/v1/ledger/transfers", account=account, kind="reclaim"))["data"]
        assert [row["id"] for row in reclaims] == wanted[:4]

    @pytest.mark.parametrize("offset", ["-20:58", "+23:59", "-23:59", "+00:00:30", ""])
    def test_times_of_any_offset(self, manager: ApiClient, offset: str) -> None:
        query = {"from": f"2026-01-01T00:00:00{offset}", "to": f"2026-01-02T00:00:00{offset}"}
        response = manager.get("/v1/ledger/transfers", **query)
        assert (response.status_code, body(response)["data"]) == (200, [])

    @pytest.mark.parametrize(
        "query",
        [
            {"kind": "theft"},
            {"account": "x"},
            {"from": "x"},
            {"to": "2026-02-30T00:00:00Z"},
            {"from": "\0"},
            {"from": "0001-01-01T00:00:00+23:59"},
            {"to": "9999-12-31T23:59:59-23:59"},
            {"from": "2026-01-01T00:00:00+99:99"},
        ],
    )
    def test_wrong_filters(self, manager: ApiClient, query: dict[str, str]) -> None:
        response = manager.get("/v1/ledger/transfers", **query)
        assert (response.status_code, body(response)["code"]) == (422, "validation_error")

    def test_pages(self, manager: ApiClient) -> None:
        for _ in range(3):
            made(manager, tokens=1)
        first = body(manager.get("/v1/ledger/transfers", limit=3))
        second = body(manager.get("/v1/ledger/transfers", limit=3, cursor=first["next_cursor"]))
        assert [len(first["data"]), len(second["data"]), second["next_cursor"]] == [3, 1, None]

    def test_outsiders_see_their_own(self, manager: ApiClient, outsider: ApiClient, rich: Organization) -> None:
        account = account_of(rich, made(manager)["id"])
        assert [row["kind"] for row in body(outsider.get("/v1/ledger/transfers"))["data"]] == ["grant"]
        assert body(outsider.get("/v1/ledger/transfers", account=account.id))["data"] == []
