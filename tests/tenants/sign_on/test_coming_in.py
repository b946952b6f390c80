"""Single sign-on against a real provider on this machine: what it opens, and what it must never open."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any
from urllib.parse import urlsplit

import pytest
from allauth.account.models import EmailAddress
from cryptography.hazmat.primitives.asymmetric import rsa
from django.test import Client
from django.utils import timezone

from tenants.actors import user_actor
from tenants.models import AuditEvent, Identity, Membership, Organization, Role, User
from tenants.scope import organization_scope, platform_scope
from tenants.services.ownership import offer_ownership
from tests.factories.tenants import PASSWORD, make_membership, make_user
from tests.tenants.oidc_provider import OidcProvider
from tests.tenants.sign_on.conftest import come, form_of

pytestmark = pytest.mark.django_db
EMAIL = "dana@boards.example"


def signed_in(client: Client) -> bool:
    return "_auth_user_id" in client.session


def role_of(organization: Organization, email: str) -> str | None:
    with organization_scope(organization.id):
        return Membership.objects.filter(user__email=email).values_list("role", flat=True).first()


def test_a_new_person_gets_an_account_and_the_default_role(sso: OidcProvider, alpha: Organization) -> None:
    client, answer = come(sso)
    assert answer["Location"] == "/o/alpha/"
    assert client.get("/o/alpha/members/").status_code == HTTPStatus.OK
    assert role_of(alpha, EMAIL) == Role.VIEWER
    user = User.objects.get(email=EMAIL)
    assert not user.has_usable_password()
    assert not EmailAddress.objects.get(user=user).verified, "a provider's word confirms no address to anybody else"
    with organization_scope(alpha.id):
        actions = list(AuditEvent.objects.order_by("id").values_list("action", flat=True))
    assert actions == ["single_sign_on.changed", "member.added", "single_sign_on.signed_in"]
    before = User.objects.count()
    come(sso)
    assert User.objects.count() == before, "the next time it is the same person"


def test_what_was_asked_for_is_shown_after_signing_in(sso: OidcProvider) -> None:
    assert come(sso, goal="/o/alpha/members/")[1]["Location"] == "/o/alpha/members/"
    for goal in ("//evil.example/", "https://evil.example/o/alpha/", "/o/beta/", "/account/"):
        assert come(sso, goal=goal)[1]["Location"] == "/o/alpha/"


def test_the_session_sees_that_organization_and_nothing_else_of_the_person(
    sso: OidcProvider, alpha: Organization, beta: Organization
) -> None:
    come(sso)
    user = User.objects.get(email=EMAIL)
    make_membership(beta, user, Role.OWNER)
    client, _ = come(sso)
    page = client.get("/o/alpha/members/")
    assert page.status_code == HTTPStatus.OK
    assert "Beta" not in page.content.decode()
    assert client.get("/o/beta/").status_code == HTTPStatus.NOT_FOUND
    assert client.get("/home/")["Location"] == "/o/alpha/"
    for path in (
        "/account/", "/account/delete/", "/account/sessions/", "/accounts/email/", "/accounts/password/change/",
        "/accounts/password/set/", "/accounts/second-factor/", "/accounts/second-factor/totp/activate/",
        "/accounts/reauthenticate/", "/organizations/new/", "/invitations/x/",
    ):  # fmt: skip
        for method in (client.get, client.post):
            assert method(path).status_code == HTTPStatus.FORBIDDEN, path
    with organization_scope(alpha.id):
        Membership.objects.filter(user=user).update(role=Role.OWNER)
    for path in ("settings/ownership/", "closing/request/", "closing/export.zip"):
        assert client.post(f"/o/alpha/{path}").status_code == HTTPStatus.FORBIDDEN, path


def test_a_session_of_a_provider_takes_no_organization_over(
    sso: OidcProvider, alpha: Organization, alice: User
) -> None:
    come(sso)
    dana = User.objects.get(email=EMAIL)
    dana.set_password(PASSWORD)
    dana.save()
    client, _ = come(sso)
    with organization_scope(alpha.id):
        place = Membership.objects.get(user=dana)
        owner = user_actor(alice.id, alice.email)
        offer_ownership(organization_id=alpha.id, membership_id=place.id, actor=owner, now=timezone.now())
    answer = client.post("/o/alpha/ownership/", {"accept": "on"}, follow=True)
    assert "Sign in with your own password" in answer.content.decode()
    assert role_of(alpha, EMAIL) == Role.VIEWER
    own = Client()
    own.force_login(dana)
    own.post("/o/alpha/ownership/", {"accept": "on"})
    assert role_of(alpha, EMAIL) == Role.OWNER


class TestAnAccountThatIsThereAlready:
    """Nobody's account is taken by a provider: its person has to sign in and agree."""

    def test_it_is_not_signed_in_to(self, sso: OidcProvider, alpha: Organization) -> None:
        dana = make_user(EMAIL)
        make_membership(alpha, dana, Role.ADMIN)
        client, answer = come(sso)
        assert answer["Location"] == "/sso/link/"
        assert not signed_in(client)
        client.post("/sso/link/")
        with platform_scope("look"):
            assert not Identity.objects.exists()

    def test_who_agrees_comes_in_from_then_on(self, sso: OidcProvider, alpha: Organization) -> None:
        dana = make_user(EMAIL)
        client, _ = come(sso)
        client.post("/accounts/login/", {"login": EMAIL, "password": PASSWORD})
        assert client.post("/sso/link/")["Location"] == "/o/alpha/"
        assert client.get("/account/").status_code == HTTPStatus.OK, "this is the person's own session"
        again, answer = come(sso)
        assert answer["Location"] == "/o/alpha/"
        assert again.session["_auth_user_id"] == str(dana.id)
        assert again.get("/account/").status_code == HTTPStatus.FORBIDDEN
        assert role_of(alpha, EMAIL) == Role.VIEWER

    def test_somebody_else_cannot_agree(self, sso: OidcProvider, alpha: Organization, charlie: User) -> None:
        make_user(EMAIL)
        client, _ = come(sso)
        client.post("/accounts/login/", {"login": charlie.email, "password": PASSWORD})
        assert client.post("/sso/link/").status_code == HTTPStatus.FORBIDDEN
        assert role_of(alpha, charlie.email) is None

    def test_an_unconfirmed_address_is_not_enough(self, sso: OidcProvider, alpha: Organization, charlie: User) -> None:
        EmailAddress.objects.create(user=charlie, email=EMAIL, verified=False)
        client, answer = come(sso)
        assert answer["Location"] == "/sso/link/", "the address is spoken for, so no second account is made"
        client.post("/accounts/login/", {"login": charlie.email, "password": PASSWORD})
        assert client.post("/sso/link/").status_code == HTTPStatus.FORBIDDEN
        assert role_of(alpha, charlie.email) is None

    def test_another_organization_s_provider_has_no_part_in_it(
        self, sso: OidcProvider, beta: Organization, charlie: User, alpha: Organization
    ) -> None:
        come(sso)
        admin = Client()
        admin.force_login(charlie)
        admin.post("/o/beta/security/sign-on/", form_of(sso))
        client, answer = come(sso, slug="beta")
        assert answer["Location"] == "/sso/link/", "the same provider and subject, but not the same organization"
        assert not signed_in(client)

    def test_whoever_was_taken_out_stays_out(self, sso: OidcProvider, alpha: Organization) -> None:
        come(sso)
        with organization_scope(alpha.id):
            Membership.objects.filter(user__email=EMAIL).delete()
        client, answer = come(sso)
        assert answer.status_code == HTTPStatus.FORBIDDEN
        assert not signed_in(client)


@pytest.mark.parametrize(
    "person",
    [
        {"email": "dana@elsewhere.example"},
        {"email": None},
        {"email_verified": False},
        {"email": "dana@x.boards.example"},
    ],
)
def test_only_the_domains_that_were_named_come_in(sso: OidcProvider, person: dict[str, Any]) -> None:
    sso.person |= person
    client, answer = come(sso)
    assert answer.status_code == HTTPStatus.FORBIDDEN
    assert not signed_in(client)


@pytest.mark.parametrize(
    "wrong",
    [
        {"iss": "https://evil.example"}, {"aud": "another"}, {"exp": 1}, {"nonce": "another"}, {"nonce": None},
        {"sub": None}, {"aud": ["tokensight", "another"]}, {"iat": None},
    ],
    ids=str,
)  # fmt: skip
def test_an_id_token_that_is_wrong_in_one_thing_opens_nothing(sso: OidcProvider, wrong: dict[str, Any]) -> None:
    sso.wrong = wrong
    client, answer = come(sso)
    assert answer.status_code == HTTPStatus.FORBIDDEN
    assert not signed_in(client)


@pytest.mark.parametrize("how", ["another key", "none", "shared secret"])
def test_a_signature_that_is_not_the_provider_s_opens_nothing(sso: OidcProvider, how: str) -> None:
    if how == "another key":
        sso.signing_key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    else:
        sso.algorithm, sso.signing_key = ("none", None) if how == "none" else ("HS256", sso.client_secret * 8)
    client, answer = come(sso)
    assert answer.status_code == HTTPStatus.FORBIDDEN
    assert not signed_in(client)


def test_an_answer_that_this_browser_did_not_ask_for_opens_nothing(sso: OidcProvider) -> None:
    victim, attacker = Client(), Client()
    back = urlsplit(sso.authorize(attacker.get("/sso/alpha/")["Location"]))
    assert victim.get(f"{back.path}?{back.query}").status_code == HTTPStatus.NOT_FOUND
    victim.get("/sso/alpha/")
    assert victim.get(f"{back.path}?{back.query}").status_code == HTTPStatus.NOT_FOUND
    assert not signed_in(victim)
    assert attacker.get(f"{back.path}?{back.query}").status_code == HTTPStatus.FOUND
    assert attacker.get(f"{back.path}?{back.query}").status_code == HTTPStatus.NOT_FOUND, "once"


def test_without_a_provider_it_is_like_no_organization(client: Client, alpha: Organization) -> None:
    answers = [client.get(f"/sso/{slug}/") for slug in ("alpha", "nowhere")]
    assert [answer.status_code for answer in answers] == [HTTPStatus.NOT_FOUND] * 2
    assert client.get("/sso/callback/?state=x&code=y").status_code == HTTPStatus.NOT_FOUND
    assert client.get("/sso/link/").status_code == HTTPStatus.NOT_FOUND
