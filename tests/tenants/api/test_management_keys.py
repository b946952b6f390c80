"""Management keys rotate, are bound to addresses, and know and end themselves; they never make or widen a key."""

from __future__ import annotations

import json
from datetime import timedelta
from http import HTTPStatus
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from tenants.actors import PLATFORM
from tenants.errors import GraceOutOfRange, KeyRevoked, NotFound, ScopeNotYours
from tenants.models import AuditEvent, ManagementKey, Organization, User
from tenants.permissions import Permission
from tenants.scope import organization_scope
from tenants.services.management_keys import change_management_key, revoke_management_key, rotate_management_key
from tests.api_client import ApiClient, body, manager_of

pytestmark = pytest.mark.django_db
CURRENT = "/v1/management_keys/current"


def the_key(organization: Organization) -> ManagementKey:
    with organization_scope(organization.id):
        return ManagementKey.objects.get()


def test_a_key_shows_itself_and_no_secret(alpha: Organization) -> None:
    manager = manager_of(alpha, Permission.LEDGER_VIEW)
    answer = manager.get(CURRENT)
    assert body(answer)["scopes"] == ["ledger.view"]
    assert (body(answer)["status"], body(answer)["old_secrets"]) == ("active", [])
    assert str(manager.secret) not in answer.content.decode()


def test_a_key_rotates_itself_with_a_grace(alpha: Organization) -> None:
    old = manager_of(alpha, Permission.LEDGER_VIEW)
    answer = body(old.post(f"{CURRENT}/rotate", {"grace_hours": 1}, Idempotency_Key="once"))
    new = ApiClient(answer["secret"])
    assert [one["prefix"] for one in answer["old_secrets"]] == [str(old.secret)[:12]]
    assert body(old.post(f"{CURRENT}/rotate", {"grace_hours": 1}, Idempotency_Key="once"))["secret"] is None
    assert old.get(CURRENT).status_code == new.get(CURRENT).status_code == HTTPStatus.OK
    assert body(new.get(CURRENT))["scopes"] == ["ledger.view"]
    assert body(new.post(f"{CURRENT}/end_grace"))["old_secrets"] == []
    refused = old.get(CURRENT)
    assert (refused.status_code, body(refused)["code"]) == (401, "revoked_token")
    assert new.get(CURRENT).status_code == HTTPStatus.OK


def test_without_grace_the_old_secret_is_dead_at_once(alpha: Organization) -> None:
    old = manager_of(alpha)
    new = ApiClient(body(old.post(f"{CURRENT}/rotate", {"grace_hours": 0}))["secret"])
    assert (old.get(CURRENT).status_code, new.get(CURRENT).status_code) == (401, 200)


def test_the_old_secret_dies_at_the_very_end_of_its_grace(alpha: Organization, monkeypatch: pytest.MonkeyPatch) -> None:
    old = manager_of(alpha)
    now = timezone.now()
    with organization_scope(alpha.id):
        rotate_management_key(key_id=the_key(alpha).id, grace=timedelta(hours=2), actor=PLATFORM, now=now)
    for moment, status in ((7199.999, 200), (7200, 401), (9000, 401)):
        then = now + timedelta(seconds=moment)
        monkeypatch.setattr("tenants.api.authentication.timezone.now", lambda then=then: then)
        assert old.get(CURRENT).status_code == status


def test_a_key_ends_itself(alpha: Organization) -> None:
    manager = manager_of(alpha)
    assert body(manager.post(f"{CURRENT}/revoke"))["status"] == "revoked"
    assert body(manager.get(CURRENT))["code"] == "revoked_token"


def test_a_key_works_from_its_addresses_only_and_it_is_noted_from_where(alpha: Organization) -> None:
    manager = manager_of(alpha)
    with organization_scope(alpha.id):
        change_management_key(
            key_id=the_key(alpha).id,
            changes={"ip_allow_list": ["198.51.100.0/24"]},
            allowed=frozenset(Permission),
            actor=PLATFORM,
            now=timezone.now(),
        )
    headers = {"Authorization": f"Bearer {manager.secret}"}
    refused = Client().get(CURRENT, headers=headers, REMOTE_ADDR="203.0.113.1")
    assert (refused.status_code, body(refused)["code"]) == (403, "ip_not_allowed")
    assert the_key(alpha).last_used_ip is None
    assert Client().get(CURRENT, headers=headers, REMOTE_ADDR="198.51.100.9").status_code == HTTPStatus.OK
    assert the_key(alpha).last_used_ip == "198.51.100.9"


@pytest.mark.parametrize("path", ["/v1/management_keys", f"{CURRENT}/scopes"])
def test_no_key_makes_or_widens_a_key(alpha: Organization, path: str) -> None:
    manager = manager_of(alpha)
    for method in ("GET", "POST", "PATCH", "PUT"):
        assert manager.raw(method, path, json.dumps({"scopes": ["x"]}).encode(), "application/json").status_code == 404


def change(organization: Organization, **fields: Any) -> ManagementKey:
    with organization_scope(organization.id):
        return change_management_key(
            key_id=the_key(organization).id,
            changes=fields,
            allowed={Permission.LEDGER_VIEW},
            actor=PLATFORM,
            now=timezone.now(),
        )


def test_scopes_are_taken_by_anybody_and_given_by_who_has_them(alpha: Organization) -> None:
    manager_of(alpha, Permission.CALLS_VIEW, Permission.GRANTS_VIEW)
    assert change(alpha, scopes=["grants.view", "ledger.view"]).scopes == ["grants.view", "ledger.view"]
    with pytest.raises(ScopeNotYours):
        change(alpha, scopes=["grants.view", "calls.view"])
    with organization_scope(alpha.id):
        event = AuditEvent.objects.get(action="management_key.changed")
    assert event.before == {"scopes": ["calls.view", "grants.view"]}
    assert event.after == {"scopes": ["grants.view", "ledger.view"]}


def test_a_revoked_key_and_one_that_is_not_there(alpha: Organization, beta: Organization) -> None:
    manager_of(alpha)
    key, now = the_key(alpha), timezone.now()
    with organization_scope(beta.id), pytest.raises(NotFound):
        rotate_management_key(key_id=key.id, actor=PLATFORM, now=now)
    with organization_scope(alpha.id):
        with pytest.raises(GraceOutOfRange):
            rotate_management_key(key_id=key.id, grace=timedelta(days=8), actor=PLATFORM, now=now)
        revoke_management_key(key_id=key.id, actor=PLATFORM, now=now)
        with pytest.raises(KeyRevoked):
            rotate_management_key(key_id=key.id, actor=PLATFORM, now=now)
    with pytest.raises(KeyRevoked):
        change(alpha, name="Other")


def test_a_key_is_changed_and_rotated_on_its_page(client: Client, alice: User, alpha: Organization) -> None:
    client.force_login(alice)
    made = client.post(
        "/o/alpha/management-keys/new/",
        {"name": "ERP", "scopes": ["ledger.view"], "days": "30", "ip_allow_list": "10.1.2.3/8"},
    )
    key = the_key(alpha)
    assert key.ip_allow_list == ["10.0.0.0/8"]
    page = f"/o/alpha/management-keys/{key.id}/"
    form = client.get(page).context["form"]
    assert (form["name"].value(), form["days"].value()) == ("ERP", "keep")
    client.post(page, {"name": "CI", "scopes": ["calls.view"], "days": "keep", "ip_allow_list": ""})
    changed = the_key(alpha)
    assert (changed.name, changed.scopes, changed.ip_allow_list) == ("CI", ["calls.view"], [])
    assert changed.expires_at == key.expires_at
    rotated = client.post(f"{page}rotate/", {"grace_hours": "24"})
    assert "no-store" in rotated["Cache-Control"]
    for secret in (made.context["secret"], rotated.context["secret"]):
        assert ApiClient(secret).get(CURRENT).status_code == HTTPStatus.OK
    assert made.context["secret"][:12] in client.get(page).content.decode()
    client.post(f"{page}end-grace/")
    assert ApiClient(made.context["secret"]).get(CURRENT).status_code == HTTPStatus.UNAUTHORIZED


def test_the_list_is_filtered_and_taken_along(client: Client, alice: User, alpha: Organization) -> None:
    for _ in range(3):
        manager_of(alpha)
    with organization_scope(alpha.id):
        key = ManagementKey.objects.order_by("id")[0]
        ManagementKey.objects.filter(id=key.id).update(name="ERP", revoked_at=timezone.now())
    client.force_login(alice)

    def names(query: str) -> list[str]:
        return [row["key"].name for row in client.get(f"/o/alpha/management-keys/{query}").context["rows"]]

    assert names("") == ["Automation", "Automation", "ERP"]
    assert names("?status=revoked") == names("?q=erp") == names(f"?q={key.prefix}") == ["ERP"]
    assert names("?status=active") == ["Automation", "Automation"]
    lines = b"".join(client.get("/o/alpha/management-keys.csv?status=revoked")).decode().splitlines()
    assert len(lines) == 2
    assert "Nothing matches" in client.get("/o/alpha/management-keys/?q=nobody").content.decode()
