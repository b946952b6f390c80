"""The pages of limits: what is set is shown, with what is used, to whom it concerns."""

from __future__ import annotations

import csv
import io
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from billing.models import Account
from billing.queries.limits import limits_of
from tenants.models import Organization, Role, User
from tenants.scope import organization_scope
from tests.factories.billing import make_hold, make_wallet
from tests.factories.limits import make_limits
from tests.factories.sub_tokens import make_sub_token
from tests.factories.tenants import make_membership, make_team, make_user

pytestmark = pytest.mark.django_db
EMPTY: dict[str, Any] = dict.fromkeys(
    (
        "tokens_per_hour", "tokens_per_day", "tokens_per_month", "tokens_total", "requests_per_second", "burst",
        "requests_per_day", "concurrency",
    ),
    "",
)  # fmt: skip


@pytest.fixture
def wallet(alpha: Organization) -> Account:
    return make_wallet(alpha, 100_000, now=timezone.now())


@pytest.fixture
def owner(client: Client, wallet: Account, alice: User) -> Client:
    client.force_login(alice)
    return client


def text_of(client: Client, path: str) -> str:
    response = client.get(path)
    assert response.status_code == 200
    return response.content.decode()


def ceilings(account: Account) -> dict[str, int]:
    with organization_scope(account.organization_id):
        return {state.name: state.ceiling_mtok for state in limits_of(account.id)}


def test_limits_are_set_and_shown_with_what_is_used(owner: Client, wallet: Account) -> None:
    page = owner.get(f"/o/alpha/limits/{wallet.id}/")
    assert page.status_code == 200
    response = owner.post(
        f"/o/alpha/limits/{wallet.id}/",
        EMPTY | {"tokens_per_hour": "1.5", "tokens_total": "90", "requests_per_second": "2.5", "concurrency": "4"},
    )
    assert response.status_code == 302
    assert ceilings(wallet) == {"tokens_per_hour": 1_500, "tokens_total": 90_000}
    make_hold(wallet, 700, now=timezone.now())
    text = text_of(owner, "/o/alpha/limits/")
    assert "Hour: 0.7 of 1.5" in text
    assert "2.5 a second" in text
    assert 'value="1.5"' in text_of(owner, f"/o/alpha/limits/{wallet.id}/")
    owner.post(f"/o/alpha/limits/{wallet.id}/", EMPTY)
    assert ceilings(wallet) == {}


def test_a_team_without_a_pool_gets_one_that_draws_on_what_is_above(owner: Client, alpha: Organization) -> None:
    team = make_team(alpha, "Line team")
    assert "Line team" in text_of(owner, "/o/alpha/limits/")
    owner.post(f"/o/alpha/limits/teams/{team.id}/", EMPTY | {"tokens_per_day": "3"})
    with organization_scope(alpha.id):
        pool = Account.objects.get(team=team)
    assert (pool.mode, pool.cap_mtok) == ("capped", None)
    assert ceilings(pool) == {"tokens_per_day": 3_000}


def test_sub_tokens_are_listed_when_they_have_limits_or_are_asked_for(owner: Client, alpha: Organization) -> None:
    limited, _ = make_sub_token(alpha, "Limited")
    make_sub_token(alpha, "Free")
    make_sub_token(alpha, "Slow", requests_per_second=1)
    with organization_scope(alpha.id):
        account = Account.objects.get(id=limited.account_id)
    make_limits(account, requests_per_day=10)
    text = text_of(owner, "/o/alpha/limits/")
    assert ("Limited" in text, "Slow" in text, ">Free<" in text) == (True, True, False)
    assert "0 of 10 today" in text
    assert ">Free<" in text_of(owner, "/o/alpha/limits/?show=all")
    found = text_of(owner, "/o/alpha/limits/?q=fre")
    assert (">Free<" in found, ">Limited<" in found) == (True, False)
    assert "Nothing matches" in text_of(owner, "/o/alpha/limits/?q=nothing-of-the-kind")


def test_the_download_has_every_limit_in_a_row(owner: Client, wallet: Account) -> None:
    make_limits(wallet, hour=1_500, requests_per_day=7, now=timezone.now())
    content = b"".join(owner.get("/o/alpha/limits.csv").streaming_content).decode("utf-8-sig")
    rows = list(csv.DictReader(io.StringIO(content)))
    assert [(row["level"], row["limit"], row["ceiling"], row["used"]) for row in rows] == [
        ("organization", "tokens_per_hour", "1.500", "0.000"),
        ("organization", "requests_per_day", "7", "0"),
    ]


@pytest.mark.parametrize("value", ["-1", "0.0001", "a lot"])
def test_what_is_no_amount_is_told_at_its_field(owner: Client, wallet: Account, value: str) -> None:
    response = owner.post(f"/o/alpha/limits/{wallet.id}/", EMPTY | {"tokens_per_hour": value})
    assert response.status_code == 200
    assert "invalid-feedback" in response.content.decode()
    assert ceilings(wallet) == {}


def test_who_may_only_look_cannot_set(client: Client, alpha: Organization, wallet: Account) -> None:
    viewer = make_membership(alpha, make_user("viewer@alpha.example"), Role.VIEWER).user
    client.force_login(viewer)
    assert f"/limits/{wallet.id}/" not in text_of(client, "/o/alpha/limits/")
    assert client.post(f"/o/alpha/limits/{wallet.id}/", EMPTY).status_code == 403


def test_an_outsider_finds_nothing(client: Client, charlie: User, beta: Organization, wallet: Account) -> None:
    client.force_login(charlie)
    assert client.get("/o/alpha/limits/").status_code == 404
    assert client.get(f"/o/beta/limits/{wallet.id}/").status_code == 404
    assert client.post(f"/o/beta/limits/{wallet.id}/", EMPTY | {"tokens_total": "1"}).status_code == 404
    assert ceilings(wallet) == {}
