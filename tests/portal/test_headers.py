"""What every answer tells a browser to refuse, whoever answers: pages, the API, files, errors."""

from __future__ import annotations

import pytest
from django.test import Client

from tenants.models import Organization, User
from tests.api_client import manager_of
from tests.factories.second_factors import give_app

pytestmark = pytest.mark.django_db

PAGES = ["/", "/accounts/login/", "/o/alpha/", "/o/alpha/audit/", "/account/", "/staff/", "/no-such-page/"]


@pytest.fixture
def owner(client: Client, alpha: Organization, alice: User) -> Client:
    alice.is_staff = True
    alice.save()
    give_app(alice)
    client.force_login(alice)
    return client


@pytest.mark.parametrize("path", PAGES)
def test_a_page_runs_only_what_is_ours_and_in_no_frame(path: str, owner: Client) -> None:
    response = owner.get(path, secure=True)
    policy = dict(part.strip().partition(" ")[::2] for part in response["Content-Security-Policy"].split(";"))
    assert policy["default-src"] == "'none'"
    assert policy["script-src"] == policy["style-src"] == policy["connect-src"] == "'self'"
    assert policy["frame-ancestors"] == policy["base-uri"] == "'none'"
    assert policy["form-action"] == "'self'"
    assert not any("unsafe" in sources or "*" in sources for sources in policy.values())
    assert response["X-Frame-Options"] == "DENY"
    assert response["X-Content-Type-Options"] == "nosniff"
    assert response["Referrer-Policy"] == "same-origin"
    assert response["Cross-Origin-Opener-Policy"] == "same-origin"


def test_the_staff_s_pages_are_kept_by_no_cache(owner: Client) -> None:
    assert "no-store" in owner.get("/staff/")["Cache-Control"]


@pytest.mark.parametrize(
    "path", ["/v1/balance", "/v1/audit_events", "/v1/no-such-thing", "/v1/openapi.json", "/healthz"]
)
def test_an_answer_of_the_api_is_what_it_says(path: str, alpha: Organization) -> None:
    response = manager_of(alpha).get(path)
    assert response["X-Content-Type-Options"] == "nosniff"
    assert response["Referrer-Policy"] == "same-origin"
    assert "Set-Cookie" not in response
    assert "Server" not in response


def test_cookies_are_out_of_reach_of_scripts(client: Client, alice: User, alpha: Organization) -> None:
    client.force_login(alice)
    response = client.get("/o/alpha/")
    session = client.cookies["sessionid"]
    assert session["httponly"]
    assert session["samesite"] == "Lax"
    assert response.status_code == 200
