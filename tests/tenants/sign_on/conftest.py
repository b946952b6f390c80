"""A provider on this machine, entered for an organization, and a browser that comes by it."""

from __future__ import annotations

from collections.abc import Iterator
from http import HTTPStatus
from typing import Any
from urllib.parse import urlsplit

import pytest
from django.core.cache import cache
from django.test import Client

from tenants.gateways import oidc
from tenants.models import Organization, SingleSignOn, User
from tenants.scope import organization_scope
from tests.tenants.oidc_provider import OidcProvider


@pytest.fixture
def provider(monkeypatch: pytest.MonkeyPatch) -> Iterator[OidcProvider]:
    # On a busy machine it may answer late, without being away.
    monkeypatch.setattr(oidc, "CONNECT_SECONDS", 60.0)
    monkeypatch.setattr(oidc, "DEADLINE_SECONDS", 60.0)
    cache.clear()
    with OidcProvider().running() as running:
        yield running


def form_of(provider: OidcProvider, **changes: str) -> dict[str, str]:
    return {
        "issuer": provider.issuer,
        "client_id": provider.client_id,
        "client_secret": provider.client_secret,
        "domains": "boards.example, @Alpha.example",
        "default_role": "viewer",
        **changes,
    }


@pytest.fixture
def sso(alpha: Organization, alice: User, provider: OidcProvider) -> OidcProvider:
    """Alpha's provider, entered on the page by Alice."""
    client = Client()
    client.force_login(alice)
    answer = client.post("/o/alpha/security/sign-on/", form_of(provider))
    assert answer.status_code == HTTPStatus.FOUND, answer.context["form"].errors
    return provider


def come(
    provider: OidcProvider, client: Client | None = None, slug: str = "alpha", goal: str = ""
) -> tuple[Client, Any]:
    """Go the whole way of a browser, and return it with the last answer."""
    client = Client()
    sent = client.get(f"/sso/{slug}/" + (f"?next={goal}" if goal else ""))
    assert sent.status_code == HTTPStatus.FOUND, sent.content.decode()[-600:]
    back = urlsplit(provider.authorize(sent["Location"]))
    assert back.path == "/sso/callback/"
    return client, client.get(f"{back.path}?{back.query}")


def kept(organization: Organization) -> SingleSignOn:
    with organization_scope(organization.id):
        return SingleSignOn.objects.get()
