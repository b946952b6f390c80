"""An organization is opened whole: owner, wallet, trial. And a person tries for free once."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from django.test import Client

from billing.enums import AccountKind, GrantSource
from billing.models import Account, Grant
from billing.queries.balances import balance
from portal.services import onboarding
from portal.services.onboarding import open_organization
from tenants.actors import user_actor
from tenants.models import Membership, Organization, User
from tenants.scope import organization_scope, platform_scope
from tests.concurrency.racing import race
from tests.factories.billing import assert_ledger_clean
from tests.factories.tenants import make_user

NOW = datetime(2026, 11, 21, 8, 0, tzinfo=UTC)


def open_for(user: User, name: str = "Dana Boards") -> Organization:
    return open_organization(name=name, owner=user, actor=user_actor(user.id, user.email), now=NOW)


def wallet_of(organization: Organization) -> Account:
    with organization_scope(organization.id):
        return Account.objects.get(kind=AccountKind.ORG_WALLET)


def available(organization: Organization) -> int:
    with organization_scope(organization.id):
        return balance(wallet_of(organization).id, now=NOW).available_mtok


@pytest.mark.django_db
def test_the_first_organization_starts_with_ten_tokens() -> None:
    dana = make_user()
    organization = open_for(dana)
    assert available(organization) == 10_000
    with organization_scope(organization.id):
        grant = Grant.objects.get()
    assert (grant.source, grant.amount_mtok, grant.expires_at) == (GrantSource.TRIAL, 10_000, None)
    assert_ledger_clean()


@pytest.mark.django_db
def test_the_second_starts_with_none_even_when_the_first_was_left() -> None:
    dana = make_user()
    first = open_for(dana)
    with organization_scope(first.id):
        Membership.objects.all().delete()
    second = open_for(dana, "Dana Works")
    assert available(second) == 0
    assert wallet_of(second).posted_mtok == 0


@pytest.mark.django_db
def test_if_the_grant_fails_nothing_is_opened(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(**_: object) -> None:
        raise RuntimeError("no room")

    dana = make_user()
    monkeypatch.setattr(onboarding, "issue_grant", fail)
    with pytest.raises(RuntimeError):
        open_for(dana)
    with platform_scope("test"):
        assert not Organization.objects.exists()
    dana.refresh_from_db()
    assert dana.trial_taken_at is None


@pytest.mark.concurrency
def test_two_organizations_opened_at_once_share_no_trial(committed_db: None) -> None:
    # All have read that no trial was taken before any of them opens anything.
    dana = make_user()
    readers = [User.objects.get(id=dana.id) for _ in range(4)]
    opened = race([lambda user=user: open_for(user) for user in readers])
    assert sorted(available(organization) for organization in opened) == [0, 0, 0, 10_000]
    assert len({organization.slug for organization in opened}) == 4


@pytest.mark.django_db
def test_a_signed_in_person_opens_another_organization(client: Client) -> None:
    dana = make_user()
    client.force_login(dana)
    page = client.get("/organizations/new/")
    assert "10 Tokens" in page.content.decode()
    client.post("/organizations/new/", {"name": "Dana Works"})
    with platform_scope("test"):
        organization = Organization.objects.get(name="Dana Works")
    assert available(organization) == 10_000
    assert "starts without Tokens" in client.get("/organizations/new/").content.decode()


@pytest.mark.django_db
def test_an_organization_needs_a_name(client: Client) -> None:
    client.force_login(make_user())
    page = client.post("/organizations/new/", {"name": "  "})
    assert page.context["form"].errors.keys() == {"name"}
    with platform_scope("test"):
        assert not Organization.objects.exists()
