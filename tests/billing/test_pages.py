"""The pages about Tokens: what they show, what they do, and who may not."""

from __future__ import annotations

from datetime import timedelta
from http import HTTPStatus
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from billing.models import SubToken
from billing.queries.balances import balance
from billing.queries.burn import Level, Standing, burn_down, standing
from billing.queries.credentials import credential_for_secret
from billing.services.holds import Capture, capture_holds
from tenants.identifiers import new_id
from tenants.models import Membership, Organization, User
from tenants.scope import organization_scope, platform_scope
from tests.factories.billing import make_account, make_grant, make_hold, make_wallet
from tests.factories.tenants import make_membership

pytestmark = pytest.mark.django_db

PAGES = ["", "balance/", "ledger/", "ledger.csv", "grants/", "sub-tokens/", "sub-tokens.csv", "sub-tokens/new/"]
FORM = {"name": "Line 1", "mode": "allocated", "tokens": "5.625", "expires_in_days": "30", "priority_class": "1"}


def make(client: Client, organization: Organization, **changes: Any) -> Any:
    return client.post(f"/o/{organization.slug}/sub-tokens/new/", FORM | changes)


@pytest.fixture
def client_of_alice(client: Client, alice: User, alpha: Organization) -> Client:
    make_wallet(alpha, 10_000, now=timezone.now())
    client.force_login(alice)
    return client


@pytest.mark.parametrize("page", PAGES)
def test_a_page_opens_for_an_owner_and_is_not_there_for_an_outsider(
    client_of_alice: Client, charlie: User, alpha: Organization, page: str
) -> None:
    address = f"/o/{alpha.slug}/{page}"
    assert client_of_alice.get(address).status_code == HTTPStatus.OK
    client_of_alice.force_login(charlie)
    assert client_of_alice.get(address).status_code == HTTPStatus.NOT_FOUND
    client_of_alice.logout()
    assert client_of_alice.get(address).status_code == HTTPStatus.FOUND


def test_a_sub_token_is_made_with_exactly_its_tokens_and_its_secret_is_shown_once(
    client_of_alice: Client, alpha: Organization
) -> None:
    answer = make(client_of_alice, alpha)
    assert "no-store" in answer.headers["Cache-Control"]
    secret = answer.context["secret"]
    assert secret in answer.content.decode()
    credential = credential_for_secret(secret)
    assert credential is not None
    with organization_scope(alpha.id):
        assert balance(credential.account_id).available_mtok == 5_625
    page = client_of_alice.get(f"/o/{alpha.slug}/sub-tokens/{credential.sub_token_id}/").content.decode()
    assert secret not in page
    assert "5.625" in page


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"tokens": "10.001"}, "tokens"),
        ({"tokens": "0.0001"}, "tokens"),
        ({"tokens": ""}, "tokens"),
        ({"tokens": "-1"}, "tokens"),
        ({"name": ""}, "name"),
        ({"ip_allow_list": "10.0.0.0/33"}, "ip_allow_list"),
        ({"mode": "borrowed"}, "mode"),
    ],
)
def test_what_was_typed_stays_when_the_form_is_refused(
    client_of_alice: Client, alpha: Organization, changes: dict[str, str], field: str
) -> None:
    answer = make(client_of_alice, alpha, **({"name": "Kept name"} | changes))
    assert answer.status_code == HTTPStatus.OK
    assert field in answer.context["form"].errors
    if field != "name":
        assert "Kept name" in answer.content.decode()
    with organization_scope(alpha.id):
        assert not SubToken.objects.exists()


def test_tokens_are_added_taken_back_and_the_sub_token_revoked(client_of_alice: Client, alpha: Organization) -> None:
    secret = make(client_of_alice, alpha).context["secret"]
    credential = credential_for_secret(secret)
    assert credential is not None
    address = f"/o/{alpha.slug}/sub-tokens/{credential.sub_token_id}/"

    def left() -> int:
        with organization_scope(alpha.id):
            return balance(credential.account_id).available_mtok

    client_of_alice.post(f"{address}allocate/", {"tokens": "1"})
    assert left() == 6_625
    refused = client_of_alice.post(f"{address}allocate/", {"tokens": "4"}, follow=True).content.decode()
    assert "Only 3.375 Tokens are free." in refused
    assert left() == 6_625
    client_of_alice.post(f"{address}reclaim/", {"tokens": ""})
    assert left() == 0
    client_of_alice.post(f"{address}revoke/", {"confirm_name": "line 1"})
    with organization_scope(alpha.id):
        assert SubToken.objects.get().revoked_at is None
    client_of_alice.post(f"{address}revoke/", {"confirm_name": "Line 1"})
    with organization_scope(alpha.id):
        assert SubToken.objects.get().revoked_at is not None


def test_a_developer_sees_sub_tokens_and_changes_none(client_of_alice: Client, bob: User, alpha: Organization) -> None:
    secret = make(client_of_alice, alpha).context["secret"]
    credential = credential_for_secret(secret)
    assert credential is not None
    client_of_alice.force_login(bob)
    address = f"/o/{alpha.slug}/sub-tokens/{credential.sub_token_id}/"
    assert client_of_alice.get(address).status_code == HTTPStatus.OK
    assert "Revoke" not in client_of_alice.get(address).content.decode()
    assert make(client_of_alice, alpha).status_code == HTTPStatus.FORBIDDEN
    for act in ("allocate", "reclaim", "revoke"):
        refused = client_of_alice.post(f"{address}{act}/", {"tokens": "1", "confirm_name": "Line 1"})
        assert refused.status_code == HTTPStatus.FORBIDDEN


def test_the_ledger_shows_each_transfer_with_its_entries(client_of_alice: Client, alpha: Organization) -> None:
    make(client_of_alice, alpha)
    page = client_of_alice.get(f"/o/{alpha.slug}/ledger/").content.decode()
    assert "Allocation" in page
    assert "+5.625" in page
    narrowed = client_of_alice.get(f"/o/{alpha.slug}/ledger/?kind=grant")
    assert [row.transfer.kind for row in narrowed.context["movements"]] == ["grant"]
    lines = b"".join(client_of_alice.get(f"/o/{alpha.slug}/ledger.csv?kind=allocation")).decode().splitlines()
    assert len(lines) == 3
    assert {line.split(",")[6] for line in lines[1:]} == {"5.625", "-5.625"}


def spend(organization: Organization, mtok: int, *, days_ago: int) -> None:
    then = timezone.now() - timedelta(days=days_ago)
    with organization_scope(organization.id):
        account = make_account(make_wallet(organization), mtok, now=then)
        hold = make_hold(account, mtok, now=then)
    with platform_scope("test"):
        capture_holds(captures=[Capture(hold.hold_id, mtok, new_id())], now=then)


def test_the_runway_is_what_is_left_at_the_pace_of_the_last_week(alpha: Organization) -> None:
    now = timezone.now()
    make_wallet(alpha)
    make_grant(alpha, 100_000, now=now - timedelta(days=20))
    with organization_scope(alpha.id):
        assert standing(alpha.id, now) == Standing(100_000, 0, None)
    spend(alpha, 30_000, days_ago=10)
    with organization_scope(alpha.id):
        assert standing(alpha.id, now) == Standing(70_000, 0, None)
    spend(alpha, 8_000, days_ago=3)
    spend(alpha, 2_000, days_ago=0)
    with organization_scope(alpha.id):
        # 10,000 mtok in four days, 60,000 left.
        assert standing(alpha.id, now) == Standing(60_000, 0, 24, now.date() + timedelta(days=24))


@pytest.mark.parametrize(
    ("available", "days", "level"),
    [(1, None, Level.FINE), (0, None, Level.CRITICAL), (5, 14, Level.FINE), (5, 13, Level.LOW), (5, 2, Level.CRITICAL)],
)
def test_the_level_says_when_to_worry(available: int, days: int | None, level: Level) -> None:
    assert Standing(available, 0, days).level == level


def test_the_burn_down_ends_with_what_is_posted_and_steps_with_grants_and_captures(alpha: Organization) -> None:
    now = timezone.now()
    make_wallet(alpha)
    make_grant(alpha, 50_000, now=now - timedelta(days=5))
    spend(alpha, 20_000, days_ago=2)
    with organization_scope(alpha.id):
        days = burn_down(7, now)
    assert [day.posted_mtok for day in days] == [0, 50_000, 50_000, 50_000, 30_000, 30_000, 30_000]
    assert [day.burned_mtok for day in days] == [0, 0, 0, 0, 20_000, 0, 0]


def test_the_journal_calls_its_actors_by_name(client_of_alice: Client, alice: User, alpha: Organization) -> None:
    make(client_of_alice, alpha)
    journal = f"/o/{alpha.slug}/ledger/?kind=allocation"
    assert f">{alice.email}</span>" in client_of_alice.get(journal).content.decode()
    other = make_membership(alpha, role="owner").user
    with platform_scope("test"):
        Membership.objects.filter(user=alice).delete()
    client_of_alice.force_login(other)
    assert "somebody who has left" in client_of_alice.get(journal).content.decode()
