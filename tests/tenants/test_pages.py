"""The pages of members, teams, keys, settings, audit log and account."""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import timedelta
from http import HTTPStatus

import pytest
from django.test import Client
from django.utils import timezone

from tenants.models import AuditEvent, ManagementKey, Membership, Organization, Role, Team, User
from tenants.queries.management_keys import management_key_by_hash
from tenants.scope import organization_scope, platform_scope
from tenants.secrets import SecretKind, hash_secret, kind_of
from tests.factories.tenants import make_membership, make_team

pytestmark = pytest.mark.django_db


@pytest.fixture
def owner(client: Client, alpha: Organization, alice: User) -> Client:
    """A browser in which Alice is signed in."""
    client.force_login(alice)
    return client


def events(organization: Organization) -> list[AuditEvent]:
    with organization_scope(organization.id):
        return list(AuditEvent.objects.order_by("id"))


def role_of(organization: Organization, user: User) -> str | None:
    with organization_scope(organization.id):
        found = Membership.objects.filter(user=user).first()
    return found.role if found else None


def membership_id(organization: Organization, user: User) -> str:
    with organization_scope(organization.id):
        return str(Membership.objects.get(user=user).id)


def text_of(client: Client, path: str) -> str:
    response = client.get(path)
    assert response.status_code == HTTPStatus.OK
    return response.content.decode()


def test_members_are_listed_with_their_roles(owner: Client, bob: User) -> None:
    page = text_of(owner, "/o/alpha/members/")
    assert "alice@alpha.example" in page
    assert "bob@alpha.example" in page


def test_a_developer_sees_members_and_no_controls(client: Client, bob: User) -> None:
    client.force_login(bob)
    page = text_of(client, "/o/alpha/members/")
    assert "alice@alpha.example" in page
    assert "/role/" not in page
    assert "/remove/" not in page


def test_an_owner_changes_a_role_and_it_is_written_down(owner: Client, alpha: Organization, bob: User) -> None:
    owner.post(f"/o/alpha/members/{membership_id(alpha, bob)}/role/", {"role": "billing"}, REMOTE_ADDR="203.0.113.9")
    assert role_of(alpha, bob) == Role.BILLING
    (event,) = events(alpha)
    assert (event.action, event.actor_name, event.ip) == ("member.role_changed", "alice@alpha.example", "203.0.113.9")


def test_a_role_that_does_not_exist_changes_nothing(owner: Client, alpha: Organization, bob: User) -> None:
    answer = owner.post(f"/o/alpha/members/{membership_id(alpha, bob)}/role/", {"role": "god"}, follow=True)
    assert "Choose one of the roles." in answer.content.decode()
    assert role_of(alpha, bob) == Role.DEVELOPER


def test_an_admin_cannot_make_an_owner(client: Client, alpha: Organization, bob: User) -> None:
    admin = make_membership(alpha, role=Role.ADMIN).user
    client.force_login(admin)
    client.post(f"/o/alpha/members/{membership_id(alpha, admin)}/role/", {"role": "owner"})
    client.post(f"/o/alpha/members/{membership_id(alpha, bob)}/role/", {"role": "owner"})
    assert (role_of(alpha, admin), role_of(alpha, bob)) == (Role.ADMIN, Role.DEVELOPER)
    assert events(alpha) == []


def test_a_member_goes_only_when_confirmed_by_name(owner: Client, alpha: Organization, bob: User) -> None:
    path = f"/o/alpha/members/{membership_id(alpha, bob)}/remove/"
    owner.post(path, {"confirm_name": "somebody"})
    assert role_of(alpha, bob) == Role.DEVELOPER
    owner.post(path, {"confirm_name": "bob@alpha.example"})
    assert role_of(alpha, bob) is None


def test_the_last_owner_is_told_why_not(owner: Client, alpha: Organization, alice: User) -> None:
    path = f"/o/alpha/members/{membership_id(alpha, alice)}/remove/"
    answer = owner.post(path, {"confirm_name": "alice@alpha.example"}, follow=True)
    assert "An organization needs an owner." in answer.content.decode()
    assert role_of(alpha, alice) == Role.OWNER


def test_a_list_costs_the_same_however_long_it_is(
    owner: Client, alpha: Organization, django_assert_max_num_queries: Callable[[int], AbstractContextManager[object]]
) -> None:
    for _ in range(20):
        make_membership(alpha)
        make_team(alpha)
    for path in ("members", "teams", "management-keys", "audit"):
        with django_assert_max_num_queries(31):
            assert owner.get(f"/o/alpha/{path}/").status_code == HTTPStatus.OK


def test_somebody_removed_is_out_at_once(owner: Client, alpha: Organization, bob: User) -> None:
    browser = Client()
    browser.force_login(bob)
    assert browser.get("/o/alpha/members/").status_code == HTTPStatus.OK
    owner.post(f"/o/alpha/members/{membership_id(alpha, bob)}/remove/", {"confirm_name": "bob@alpha.example"})
    assert browser.get("/o/alpha/members/").status_code == HTTPStatus.NOT_FOUND


def test_without_teams_the_page_says_what_to_do(owner: Client) -> None:
    page = text_of(owner, "/o/alpha/teams/")
    assert "No teams yet" in page
    assert "/o/alpha/teams/new/" in page


def test_a_team_is_made_inside_another(owner: Client, alpha: Organization) -> None:
    plant = make_team(alpha, "Plant")
    answer = owner.post("/o/alpha/teams/new/", {"name": "Line 1", "parent": str(plant.id)})
    assert answer.status_code == HTTPStatus.FOUND
    with organization_scope(alpha.id):
        assert Team.objects.get(name="Line 1").parent_id == plant.id
    again = owner.post("/o/alpha/teams/new/", {"name": "Line 1", "parent": ""})
    assert "There is a team with this name already." in again.content.decode()


def test_a_team_is_not_offered_its_own_inside(owner: Client, alpha: Organization) -> None:
    plant = make_team(alpha, "Plant")
    line = make_team(alpha, "Line 1", parent=plant)
    page = owner.get(f"/o/alpha/teams/{plant.id}/")
    assert list(page.context["form"].fields["parent"].queryset) == []
    answer = owner.post(f"/o/alpha/teams/{plant.id}/", {"name": "Plant", "parent": str(line.id)})
    assert answer.context["form"].errors.keys() == {"parent"}


def test_another_organization_s_team_is_not_offered(owner: Client, alpha: Organization, beta: Organization) -> None:
    theirs = make_team(beta, "Shop")
    answer = owner.post("/o/alpha/teams/new/", {"name": "Line 1", "parent": str(theirs.id)})
    assert answer.context["form"].errors.keys() == {"parent"}
    assert "Shop" not in answer.content.decode()


def test_a_key_s_secret_is_seen_once_and_works(owner: Client, alpha: Organization) -> None:
    answer = owner.post(
        "/o/alpha/management-keys/new/", {"name": "ERP", "scopes": ["sub_tokens.manage", "ledger.view"], "days": "30"}
    )
    page = answer.content.decode()
    (secret,) = set(re.findall(r"tsm_\w{38}", page))
    assert "no-store" in answer["Cache-Control"]
    assert kind_of(secret) is SecretKind.MANAGEMENT_KEY
    key = management_key_by_hash(hash_secret(secret))
    assert key is not None
    assert (key.organization_id, key.scopes) == (alpha.id, ["ledger.view", "sub_tokens.manage"])
    assert key.expires_at is not None
    assert timedelta(days=29) < key.expires_at - timezone.now() < timedelta(days=31)
    listed = text_of(owner, "/o/alpha/management-keys/")
    assert key.prefix in listed
    assert secret not in listed
    assert all(secret not in str(event.after) and key.secret_hash not in str(event.after) for event in events(alpha))


def test_a_key_needs_a_scope_that_a_key_can_have(owner: Client, alpha: Organization) -> None:
    for scopes in ([], ["management_keys.manage"], ["everything"]):
        answer = owner.post("/o/alpha/management-keys/new/", {"name": "ERP", "scopes": scopes, "days": "30"})
        assert answer.context["form"].errors.keys() == {"scopes"}
    with organization_scope(alpha.id):
        assert not ManagementKey.objects.exists()


def test_a_key_is_revoked_only_when_confirmed_by_name(owner: Client, alpha: Organization) -> None:
    owner.post("/o/alpha/management-keys/new/", {"name": "ERP", "scopes": ["ledger.view"], "days": "never"})
    with organization_scope(alpha.id):
        key = ManagementKey.objects.get()
    owner.post(f"/o/alpha/management-keys/{key.id}/revoke/", {"confirm_name": "CI"})
    assert management_key_by_hash(key.secret_hash).revoked_at is None  # type: ignore[union-attr]
    owner.post(f"/o/alpha/management-keys/{key.id}/revoke/", {"confirm_name": "ERP"})
    assert management_key_by_hash(key.secret_hash).revoked_at is not None  # type: ignore[union-attr]
    assert "Revoked" in text_of(owner, "/o/alpha/management-keys/")
    assert [event.action for event in events(alpha)] == ["management_key.created", "management_key.revoked"]


def test_an_organization_is_renamed(owner: Client, alpha: Organization) -> None:
    owner.post("/o/alpha/settings/", {"name": "Alpha <Works>", "when_uncounted": "pass"})
    page = text_of(owner, "/o/alpha/settings/")
    assert "Alpha &lt;Works&gt;" in page
    assert "Alpha <Works>" not in page


def test_the_audit_log_tells_in_words(owner: Client, alpha: Organization) -> None:
    owner.post("/o/alpha/settings/", {"name": "Alpha Works", "when_uncounted": "pass"})
    owner.post("/o/alpha/teams/new/", {"name": "Line 1", "parent": ""})
    page = text_of(owner, "/o/alpha/audit/?action=organization.renamed")
    rows = page[page.index("<tbody>") :]
    assert "Renamed the organization" in rows
    assert "Alpha Works" in rows
    assert "Made a team" not in rows


def test_a_long_audit_log_comes_in_pages(owner: Client, alpha: Organization) -> None:
    for number in range(55):
        owner.post("/o/alpha/settings/", {"name": f"Name {number}", "when_uncounted": "pass"})
    first = owner.get("/o/alpha/audit/")
    second = owner.get("/o/alpha/audit/", {"cursor": str(first.context["next_cursor"])})
    seen = [row["event"].id for page in (first, second) for row in page.context["rows"]]
    assert len(seen) == len(set(seen)) == 55
    assert second.context["next_cursor"] is None
    assert owner.get("/o/alpha/audit/?cursor=nonsense").status_code == HTTPStatus.OK


def test_home_leads_to_the_organization_or_to_opening_one(owner: Client, alpha: Organization) -> None:
    assert owner.get("/home/")["Location"] == "/o/alpha/"
    with platform_scope("test"):
        Membership.objects.all().delete()
    assert owner.get("/home/")["Location"] == "/organizations/new/"


def test_a_person_changes_name_and_language(owner: Client, alice: User) -> None:
    answer = owner.post("/account/", {"name": "Alice Wu", "language": "zh-hans"})
    assert answer.cookies["django_language"].value == "zh-hans"
    alice.refresh_from_db()
    assert (alice.name, alice.language) == ("Alice Wu", "zh-hans")
    assert owner.post("/account/", {"name": "Alice", "language": "xx"}).context["form"].errors.keys() == {"language"}


def test_changing_anything_needs_the_form_s_token(alpha: Organization, alice: User) -> None:
    browser = Client(enforce_csrf_checks=True)
    browser.force_login(alice)
    assert browser.post("/o/alpha/settings/", {"name": "Stolen"}).status_code == HTTPStatus.FORBIDDEN
    assert events(alpha) == []


def test_the_organization_decides_what_happens_without_redis(owner: Client, alpha: Organization) -> None:
    def policy() -> str:
        with organization_scope(alpha.id):
            return Organization.objects.get(id=alpha.id).when_uncounted

    owner.post("/o/alpha/settings/", {"name": "Alpha", "when_uncounted": "refuse"})
    assert policy() == "refuse"
    assert "Refuse calls" in text_of(owner, "/o/alpha/settings/")
    owner.post("/o/alpha/settings/", {"name": "Alpha", "when_uncounted": "explode"})
    assert policy() == "refuse"
