"""A key is changed: what it sealed goes on, is sealed anew by one command, and then the old key can be forgotten."""

from __future__ import annotations

from io import StringIO

import pytest
from allauth.mfa.models import Authenticator
from allauth.mfa.recovery_codes.internal.auth import RecoveryCodes
from django.core.management import CommandError, call_command
from django.test import Client
from pytest_django.fixtures import Settings

from billing.models import WebhookEndpoint
from tenants.models import Organization, SingleSignOn, User
from tenants.scope import organization_scope
from tenants.sealing import seal, unseal
from tenants.services.single_sign_on import PURPOSE
from tests.factories.rows import Rows
from tests.factories.second_factors import code_of, give_app
from tests.factories.tenants import PASSWORD

pytestmark = pytest.mark.django_db


def resealed() -> str:
    out = StringIO()
    call_command("reseal", stdout=out, stderr=out)
    return out.getvalue().strip()


def signs_in(user: User, code: str) -> bool:
    client = Client()
    client.post("/accounts/login/", {"login": user.email, "password": PASSWORD})
    client.post("/accounts/2fa/authenticate/", {"code": code})
    page = client.post("/accounts/second-factor/authenticate/", {"code": code})
    assert page.status_code < 500
    return "_auth_user_id" in client.session


@pytest.fixture
def sealed_with_the_old_key(alpha: Organization, alice: User, settings: Settings) -> Settings:
    """An app, recovery codes, a provider's and a webhook's secrets; then the key is changed."""
    settings.SECRET_KEY = "old"
    give_app(alice)
    RecoveryCodes.activate(alice)
    with organization_scope(alpha.id):
        rows = Rows(alpha)
        rows.make(SingleSignOn, sealed_client_secret=seal("provider", purpose=PURPOSE))
        rows.make(WebhookEndpoint, sealed_secret=seal("hook"), sealed_previous=seal("before"))
    settings.SECRET_KEY, settings.SECRET_KEY_FALLBACKS = "new", ["old"]
    return settings


def test_the_old_key_can_be_forgotten_after_one_command(
    sealed_with_the_old_key: Settings, alpha: Organization, alice: User
) -> None:
    codes = RecoveryCodes(Authenticator.objects.get(user=alice, type="recovery_codes")).get_unused_codes()
    assert resealed() == "5 secrets are sealed with the present key."
    assert resealed() == "5 secrets are sealed with the present key.", "safe to repeat"
    sealed_with_the_old_key.SECRET_KEY_FALLBACKS = []
    assert signs_in(alice, code_of())
    again = RecoveryCodes(Authenticator.objects.get(user=alice, type="recovery_codes")).get_unused_codes()
    assert again == codes
    with organization_scope(alpha.id):
        endpoint, provider = WebhookEndpoint.objects.get(), SingleSignOn.objects.get()
    assert (unseal(endpoint.sealed_secret), unseal(endpoint.sealed_previous)) == ("hook", "before")
    assert unseal(provider.sealed_client_secret, purpose=PURPOSE) == "provider"


def test_what_opens_with_no_key_is_named_and_the_rest_is_done(
    sealed_with_the_old_key: Settings, alpha: Organization
) -> None:
    with organization_scope(alpha.id):
        WebhookEndpoint.objects.update(sealed_previous="nonsense")
    out = StringIO()
    with pytest.raises(CommandError, match="1 could not be opened"):
        call_command("reseal", stdout=out, stderr=out)
    assert "billing.WebhookEndpoint" in out.getvalue()
    assert "3 secrets are sealed" in out.getvalue()


def test_a_lost_key_is_no_crash_at_the_door(sealed_with_the_old_key: Settings, alice: User) -> None:
    sealed_with_the_old_key.SECRET_KEY_FALLBACKS = []
    assert not signs_in(alice, code_of())
