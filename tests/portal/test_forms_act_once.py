"""A form of the console that moves Tokens or makes a secret acts once: reloading its answer does nothing again."""

from __future__ import annotations

import re
from collections.abc import Iterator
from http import HTTPStatus

import pytest
from django.test import Client
from django.utils import timezone

from billing.models import Account, SubToken, Transfer
from tenants.models import ManagementKey, Organization, User
from tenants.scope import organization_scope
from tests.factories.billing import balance_of, make_wallet

pytestmark = pytest.mark.django_db
NEW = "/o/alpha/sub-tokens/new/"


@pytest.fixture
def wallet(alpha: Organization) -> Account:
    return make_wallet(alpha, 100_000, now=timezone.now())


@pytest.fixture
def owner(client: Client, alice: User) -> Iterator[Client]:
    client.force_login(alice)
    return client


def key_on(client: Client, path: str) -> str:
    keys = re.findall(r'name="form_key" value="([0-9a-f-]{36})"', client.get(path).content.decode())
    assert keys, f"{path} has no form that acts once"
    return str(keys[0])


def names(organization: Organization) -> list[str]:
    with organization_scope(organization.id):
        return list(SubToken.objects.order_by("id").values_list("name", flat=True))


def refused(client: Client, path: str, data: dict[str, str]) -> bool:
    answer = client.post(path, data, follow=True)
    return answer.redirect_chain != [] and "Nothing was done a second time" in answer.content.decode()


def test_a_reloaded_split_makes_no_second_sub_tokens(owner: Client, alpha: Organization, wallet: Account) -> None:
    path = f"/o/alpha/splitting/{wallet.id}/split/"
    sent = {"by": "equal", "tokens": "10", "count": "2", "stem": "Camera", "expires_in_days": "30"}
    sent["form_key"] = key_on(owner, path)
    preview = owner.post(f"{path}preview/", sent, headers={"HX-Request": "true"})
    assert preview.status_code == HTTPStatus.OK
    assert "2 sub-tokens" in owner.post(path, sent).content.decode()
    assert refused(owner, path, sent)
    assert names(alpha) == ["Camera 1", "Camera 2"]
    assert balance_of(wallet, now=timezone.now()).available_mtok == 90_000


def test_a_reloaded_new_sub_token_is_not_made_twice_and_a_corrected_form_is_taken(
    owner: Client, alpha: Organization, wallet: Account
) -> None:
    sent = {"name": "Line 1", "mode": "allocated", "expires_in_days": "30", "on_exhausted": "reject"}
    sent |= {"priority_class": "1", "form_key": key_on(owner, NEW)}
    shown_again = owner.post(NEW, sent | {"tokens": "200"}).content.decode()
    assert names(alpha) == []
    again = re.findall(r'name="form_key" value="([0-9a-f-]{36})"', shown_again)[0]
    sent |= {"tokens": "5", "form_key": again}
    assert "secret-value" in owner.post(NEW, sent).content.decode()
    assert refused(owner, NEW, sent)
    assert names(alpha) == ["Line 1"]


def test_tokens_are_given_and_a_secret_changed_once(owner: Client, alpha: Organization, wallet: Account) -> None:
    sent = {"name": "Line 1", "mode": "allocated", "tokens": "5", "expires_in_days": "30", "on_exhausted": "reject"}
    owner.post(NEW, sent | {"priority_class": "1"})
    with organization_scope(alpha.id):
        token = SubToken.objects.select_related("account").get()
    page = f"/o/alpha/sub-tokens/{token.id}/"
    give = {"tokens": "3", "form_key": key_on(owner, page)}
    owner.post(f"{page}allocate/", give)
    owner.post(f"{page}allocate/", give)
    assert balance_of(token.account, now=timezone.now()).available_mtok == 8_000
    with organization_scope(alpha.id):
        assert Transfer.objects.filter(kind="allocation").count() == 2

    change = {"grace_hours": "24", "form_key": key_on(owner, page)}
    assert "secret-value" in owner.post(f"{page}rotate/", change).content.decode()
    with organization_scope(alpha.id):
        first = SubToken.objects.get().prefix
    from_its_page = {"Referer": f"http://testserver{page}"}
    again = owner.post(f"{page}rotate/", change, headers=from_its_page)
    assert (again.status_code, again["Location"]) == (HTTPStatus.FOUND, f"http://testserver{page}")
    with organization_scope(alpha.id):
        assert SubToken.objects.get().prefix == first


def test_a_management_key_is_made_once(owner: Client, alpha: Organization) -> None:
    path = "/o/alpha/management-keys/new/"
    sent = {"name": "ERP", "scopes": ["grants.view"], "days": "30", "form_key": key_on(owner, path)}
    assert "secret-value" in owner.post(path, sent).content.decode()
    owner.post(path, sent)
    with organization_scope(alpha.id):
        assert ManagementKey.objects.count() == 1


def test_nobody_is_led_away_by_the_page_that_a_form_is_said_to_come_from(
    owner: Client, alpha: Organization, wallet: Account
) -> None:
    sent = {"form_key": key_on(owner, NEW)}
    owner.post(NEW, sent)
    answer = owner.post(NEW, sent, headers={"Referer": "https://elsewhere.example/o/alpha/"})
    assert answer["Location"] == NEW


def test_a_key_counts_for_its_own_page_alone(owner: Client, alpha: Organization, wallet: Account) -> None:
    key = key_on(owner, NEW)
    owner.post(NEW, {"form_key": key})
    sent = {"by": "equal", "tokens": "1", "count": "1", "stem": "A", "expires_in_days": "30", "form_key": key}
    assert "1 sub-token" in owner.post(f"/o/alpha/splitting/{wallet.id}/split/", sent).content.decode()
