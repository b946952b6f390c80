"""What an admin enters of a provider, on the page or by the API, and that nothing inside can be reached by it."""

from __future__ import annotations

import json
from http import HTTPStatus
from typing import Any

import pytest
from django.test import Client
from pytest_django.fixtures import Settings

from tenants.errors import ProviderFailed
from tenants.gateways import oidc
from tenants.models import AuditEvent, Identity, Organization, SingleSignOn, User
from tenants.scope import organization_scope
from tests.api_client import body, manager_of
from tests.factories.second_factors import give_app
from tests.tenants.oidc_provider import OidcProvider
from tests.tenants.sign_on.conftest import come, form_of, kept

pytestmark = pytest.mark.django_db


class TestTheSetting:
    """What an admin enters."""

    def test_the_secret_is_sealed_and_never_shown(
        self, sso: OidcProvider, client: Client, alpha: Organization, alice: User
    ) -> None:
        assert sso.client_secret not in kept(alpha).sealed_client_secret
        client.force_login(alice)
        page = client.get("/o/alpha/security/sign-on/").content.decode()
        assert sso.client_secret not in page
        with organization_scope(alpha.id):
            assert all(sso.client_secret not in str(event.after) for event in AuditEvent.objects.all())
        sealed = kept(alpha).sealed_client_secret
        client.post("/o/alpha/security/sign-on/", form_of(sso, client_secret="", default_role="billing"))
        assert (kept(alpha).sealed_client_secret, kept(alpha).default_role) == (sealed, "billing")
        assert kept(alpha).domains == ["alpha.example", "boards.example"]

    def test_a_provider_that_is_not_there_or_lies_is_not_kept(
        self, client: Client, alpha: Organization, alice: User, provider: OidcProvider
    ) -> None:
        client.force_login(alice)
        for issuer in (f"{provider.issuer}/nothing", f"{provider.issuer}/moved", "http://127.0.0.1:9"):
            answer = client.post("/o/alpha/security/sign-on/", form_of(provider, issuer=issuer))
            assert "issuer" in answer.context["form"].errors, issuer
        provider.metadata = {"issuer": "https://other.example"}
        answer = client.post("/o/alpha/security/sign-on/", form_of(provider))
        assert "issuer" in answer.context["form"].errors
        for changes in ({"default_role": "owner"}, {"domains": "not a domain"}, {"client_secret": ""}):
            assert client.post("/o/alpha/security/sign-on/", form_of(provider, **changes)).context["form"].errors
        with organization_scope(alpha.id):
            assert not SingleSignOn.objects.exists()

    def test_it_is_required_only_after_it_worked_and_owners_can_always_come_in(
        self, sso: OidcProvider, alpha: Organization, alice: User, bob: User
    ) -> None:
        owner, member = Client(), Client()
        owner.force_login(alice)
        member.force_login(bob)
        owner.post("/o/alpha/security/sign-on/change/", {"require": "on"})
        assert member.get("/o/alpha/members/").status_code == HTTPStatus.OK
        come(sso)
        owner.post("/o/alpha/security/sign-on/change/", {"require": "on"})
        assert member.get("/o/alpha/members/")["Location"] == "/sso/alpha/?next=%2Fo%2Falpha%2Fmembers%2F"
        assert owner.get("/o/alpha/members/").status_code == HTTPStatus.OK
        assert come(sso)[0].get("/o/alpha/members/").status_code == HTTPStatus.OK
        owner.post("/o/alpha/security/sign-on/change/", {"remove": "on"})
        assert member.get("/o/alpha/members/").status_code == HTTPStatus.OK
        with organization_scope(alpha.id):
            assert not Identity.objects.exists()

    def test_the_provider_stands_for_the_second_factor(
        self, sso: OidcProvider, alpha: Organization, alice: User
    ) -> None:
        give_app(alice)
        owner = Client()
        owner.force_login(alice)
        owner.post("/o/alpha/security/second-factor/", {"required": "on"})
        assert come(sso)[0].get("/o/alpha/members/").status_code == HTTPStatus.OK


def test_the_api_does_the_same(provider: OidcProvider, alpha: Organization, alice: User) -> None:
    api = manager_of(alpha)
    assert body(api.get("/v1/single_sign_on"))["code"] == "not_found"
    sent = {
        "issuer": provider.issuer,
        "client_id": provider.client_id,
        "client_secret": provider.client_secret,
        "domains": ["boards.example"],
        "default_role": "viewer",
    }

    def put(**changes: object) -> Any:
        return api.raw("PUT", "/v1/single_sign_on", json.dumps(sent | changes).encode(), "application/json")

    def patch(**changes: object) -> Any:
        return api.raw("PATCH", "/v1/organization", json.dumps(changes).encode(), "application/json")

    assert body(put(issuer="http://127.0.0.1:9"))["code"] == "conflict"
    assert body(put(domains=[]))["code"] == body(put(default_role="owner"))["code"] == "validation_error"
    made = put()
    assert (made.status_code, body(made)["tried_at"]) == (HTTPStatus.OK, None)
    assert provider.client_secret not in made.content.decode() + api.get("/v1/single_sign_on").content.decode()
    assert body(patch(requires_single_sign_on=True))["code"] == "conflict", "nobody has tried it"
    come(provider)
    assert body(patch(requires_single_sign_on=True))["requires_single_sign_on"] is True
    assert body(patch(requires_second_factor=True))["code"] == "conflict", "no owner has one"
    give_app(alice)
    assert body(patch(requires_second_factor=True, name="Alpha Works"))["name"] == "Alpha Works"
    assert api.raw("DELETE", "/v1/single_sign_on", b"", "application/json").status_code == HTTPStatus.NO_CONTENT
    shown = body(api.get("/v1/organization"))
    assert (shown["requires_single_sign_on"], shown["requires_second_factor"]) == (False, True)


class TestReachingOutside:
    """Nothing inside can be reached by what an admin enters."""

    @pytest.mark.parametrize(
        "url",
        [
            "http://accounts.example.com", "https://127.0.0.1", "https://localhost", "https://10.0.0.8",
            "https://169.254.169.254", "https://[::1]", "https://[::ffff:127.0.0.1]", "https://100.64.0.1",
            "https://user:pw@example.com", "file:///etc/passwd", "https://0.0.0.0", "https://example.com:0",
            "https://example.com/#x", "gopher://example.com", "https://" + "a" * 600,
        ],
    )  # fmt: skip
    def test_addresses_that_are_not_asked(self, url: str, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
        settings.SSO_ANYWHERE = False

        def connect(*args: object, **kwargs: object) -> None:
            pytest.fail("something was connected to")

        monkeypatch.setattr(oidc.socket, "create_connection", connect)
        with pytest.raises(ProviderFailed):
            oidc._ask("GET", url)

    def test_a_name_with_one_address_inside_is_refused_and_what_was_looked_at_is_what_is_called(
        self, settings: Settings, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        settings.SSO_ANYWHERE = False
        called: list[object] = []

        def answer(*addresses: str) -> Any:
            return lambda *args, **kwargs: [(2, 1, 6, "", (address, 443)) for address in addresses]

        def connect(address: object, **kwargs: object) -> None:
            called.append(address)
            raise OSError("no network here")

        monkeypatch.setattr(oidc.socket, "create_connection", connect)
        monkeypatch.setattr(oidc.socket, "getaddrinfo", answer("93.184.215.14", "10.0.0.1"))
        with pytest.raises(ProviderFailed):
            oidc._ask("GET", "https://mixed.example")
        assert called == []
        monkeypatch.setattr(oidc.socket, "getaddrinfo", answer("93.184.215.14"))
        with pytest.raises(ProviderFailed):
            oidc._ask("GET", "https://fine.example")
        assert called == [("93.184.215.14", 443)]

    def test_an_endpoint_inside_is_not_asked_either(
        self, provider: OidcProvider, settings: Settings, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        provider.metadata = {"jwks_uri": "file:///etc/passwd"}
        with pytest.raises(ProviderFailed):
            oidc.discover(provider.issuer)

    def test_endless_answers_end(self, provider: OidcProvider, monkeypatch: pytest.MonkeyPatch) -> None:
        provider.metadata = {"more": "x" * 300_000}
        with pytest.raises(ProviderFailed):
            oidc.discover(provider.issuer)
