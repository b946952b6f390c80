"""The demo's credentials work, stay the same as long as their file does, and are replaced when it is lost."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command
from django.test import Client
from django.utils import timezone
from pytest_django.fixtures import Settings

from billing.enums import AccountKind, SubTokenMode
from billing.models import Account, SubToken
from billing.queries.balances import balance
from billing.queries.pools import wallet
from billing.services.sub_tokens import create_sub_token
from billing.services.subtrees import reclaim_all
from billing.services.verify import verify_ledger
from tenants.actors import user_actor
from tenants.models import ManagementKey, Organization, User
from tenants.scope import organization_scope, platform_scope
from tenants.services.closing import request_deletion
from tests.factories.alerts import spend

pytestmark = pytest.mark.django_db


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "demo.json"


def seed(file: Path) -> dict:
    call_command("seed_demo", str(file))
    return json.loads(file.read_text())


def test_every_credential_works(file: Path, client: Client) -> None:
    demo = seed(file)
    assert file.stat().st_mode & 0o777 == 0o600
    for organization in (demo, demo["other"]):
        for sub_token in organization["sub_tokens"]:
            answer = client.get("/v1/balance", headers={"Authorization": f"Bearer {sub_token['secret']}"})
            assert answer.json()["available_tokens"] == sub_token["tokens"]
        key = {"Authorization": f"Bearer {organization['management_key']}"}
        assert client.get("/v1/sub_tokens", headers=key).status_code == 200
        person = organization["admin"]
        signed_in = client.post("/accounts/login/", {"login": person["email"], "password": person["password"]})
        assert signed_in.status_code == 302, signed_in.content
        assert client.get(f"/o/{organization['organization']}/").status_code == 200
        client.logout()


def test_seeding_again_changes_nothing(file: Path) -> None:
    first = seed(file)
    assert seed(file) == first
    with platform_scope("test"):
        assert Organization.objects.count() == 2
        assert SubToken.objects.count() == 3
        assert ManagementKey.objects.count() == 2


def test_a_lost_file_gets_new_secrets_and_the_old_ones_are_dead(file: Path, client: Client) -> None:
    lost = seed(file)
    file.unlink()
    found = seed(file)
    assert found["organization"] == lost["organization"]
    old, new = lost["sub_tokens"][0]["secret"], found["sub_tokens"][0]["secret"]
    assert client.get("/v1/balance", headers={"Authorization": f"Bearer {old}"}).json()["code"] == "revoked_token"
    assert client.get("/v1/balance", headers={"Authorization": f"Bearer {new}"}).json()["available_tokens"] == 1000
    person = found["admin"]
    signed_in = client.post("/accounts/login/", {"login": person["email"], "password": person["password"]})
    assert signed_in.status_code == 302
    assert verify_ledger(now=timezone.now()).passed


def works(client: Client, entry: dict) -> bool:
    answer = client.get("/v1/balance", headers={"Authorization": f"Bearer {entry['secret']}"})
    return bool(answer.json().get("available_tokens") == entry["tokens"])


def test_it_starts_again_whatever_visitors_did_with_its_tokens(file: Path, client: Client) -> None:
    """A project that was ended leaves a ceiling without room, and a wallet may be empty."""
    demo = seed(file)
    with platform_scope("test"):
        owner = User.objects.get(email=demo["admin"]["email"])
        organization = Organization.objects.get(slug=demo["organization"])
    actor, now = user_actor(owner.id, owner.email), timezone.now()
    with organization_scope(organization.id):
        for pool in Account.objects.filter(kind=AccountKind.TEAM_POOL):
            reclaim_all(account_id=pool.id, revoke=True, actor=actor, now=now)
        create_sub_token(
            organization_id=organization.id, name="All of it", mode=SubTokenMode.ALLOCATED,
            mtok=balance(wallet().id).available_mtok - 500_000, actor=actor, now=now,
        )  # fmt: skip
    again = seed(file)
    assert all(works(client, entry) for entry in again["sub_tokens"])
    assert seed(file) == again
    assert verify_ledger(now=timezone.now()).passed


def test_what_visitors_have_spent_is_there_again_under_the_same_secret(file: Path, client: Client) -> None:
    demo = seed(file)
    entry = demo["sub_tokens"][0]
    with platform_scope("test"):
        organization = Organization.objects.get(slug=demo["organization"])
    with organization_scope(organization.id):
        account = SubToken.objects.select_related("account").get(name=entry["name"]).account
        spend(account, entry["tokens"] * 1000)
    assert not works(client, entry)
    assert seed(file)["sub_tokens"][0]["secret"] == entry["secret"]
    assert works(client, entry)
    assert verify_ledger(now=timezone.now()).passed


def test_an_organization_that_is_being_deleted_is_not_the_demo(file: Path, client: Client) -> None:
    demo = seed(file)
    with platform_scope("test"):
        owner = User.objects.get(email=demo["admin"]["email"])
        organization = Organization.objects.get(slug=demo["organization"])
    actor = user_actor(owner.id, owner.email)
    with organization_scope(organization.id):
        request_deletion(organization_id=organization.id, actor=actor, now=timezone.now())
    again = seed(file)
    assert again["organization"] != demo["organization"]
    assert all(works(client, entry) for entry in again["sub_tokens"])
    assert again["other"] == demo["other"]


def test_never_outside_development(file: Path, settings: Settings) -> None:
    settings.DEVELOPMENT = False
    with pytest.raises(CommandError, match="DEVELOPMENT=1"):
        seed(file)
    assert not file.exists()


def test_a_spoilt_file_is_told(file: Path) -> None:
    file.write_text("{")
    with pytest.raises(CommandError, match="Remove it"):
        seed(file)
