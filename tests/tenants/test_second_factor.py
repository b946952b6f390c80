"""Second factors: setting them up, signing in with them, and organizations that require one."""

from __future__ import annotations

import re
from http import HTTPStatus

import pytest
from allauth.mfa.models import Authenticator
from django.test import Client

from tenants.actors import PLATFORM, management_key_actor, user_actor
from tenants.errors import SecondFactorFirst
from tenants.identifiers import new_id
from tenants.models import AuditEvent, Organization, Role, User
from tenants.scope import organization_scope
from tenants.sealing import SealBroken, seal, unseal
from tenants.services.security import require_second_factor
from tests.api_client import manager_of
from tests.factories.billing import NOW
from tests.factories.second_factors import KEY, code_of, give_app
from tests.factories.tenants import PASSWORD, make_membership
from tests.mailing import sent_mails

pytestmark = pytest.mark.django_db


def signed_in(client: Client) -> bool:
    return "_auth_user_id" in client.session


def sign_in(client: Client, user: User, password: str = PASSWORD) -> str:
    answer = client.post("/accounts/login/", {"login": user.email, "password": password})
    return answer["Location"] if answer.status_code == HTTPStatus.FOUND else ""


def actions(organization: Organization) -> list[str]:
    with organization_scope(organization.id):
        return list(AuditEvent.objects.order_by("id").values_list("action", flat=True))


def require(organization: Organization, required: bool = True) -> None:
    with organization_scope(organization.id):
        Organization.objects.filter(id=organization.id).update(requires_second_factor=required)


@pytest.mark.django_db(transaction=True)
def test_an_app_is_set_up_after_the_password_and_gives_recovery_codes(
    client: Client, alice: User, alpha: Organization
) -> None:
    sign_in(client, alice)
    path = "/accounts/second-factor/totp/activate/"
    answer = client.get(path)
    assert answer["Location"].startswith("/accounts/reauthenticate/"), "being signed in is not enough"
    client.post(answer["Location"], {"password": PASSWORD})
    page = client.get(path).content.decode()
    (key,) = re.findall(r">([A-Z2-7]{32})<", page)
    assert "data:image/svg+xml;base64," in page
    assert "code" in client.post(path, {"code": "000000"}).context["form"].errors
    answer = client.post(path, {"code": code_of(key)})
    assert answer["Location"] == "/accounts/second-factor/recovery-codes/"
    codes = re.findall(r"\b\d{8}\b", client.get("/accounts/second-factor/recovery-codes/").content.decode())
    assert len(codes) == 10
    stored = str(list(Authenticator.objects.values_list("data", flat=True)))
    assert key not in stored, "what is stored is sealed"
    assert actions(alpha) == ["person.signed_in", "person.second_factor_added", "person.second_factor_added"]
    mails = sent_mails()
    assert [message.to for message in mails] == [[alice.email]] * len(mails)
    told = next(message for message in mails if message.subject == "An app with codes protects your account")
    html = str(told.alternatives[0][0])
    assert html.count("<a ") == 1, "one button"
    for words in ("from 127.0.0.1", "If it was not you", "/account/"):
        assert words in str(told.body)
        assert words in html

    other = Client()
    sign_in(other, alice)
    assert not signed_in(other)
    other.post("/accounts/second-factor/authenticate/", {"code": codes[0]})
    assert signed_in(other)
    again = Client()
    sign_in(again, alice)
    again.post("/accounts/second-factor/authenticate/", {"code": codes[0]})
    assert not signed_in(again), "a recovery code works once"


def test_signing_in_asks_for_the_code_which_works_once(client: Client, alice: User, alpha: Organization) -> None:
    give_app(alice)
    assert sign_in(client, alice) == "/accounts/second-factor/authenticate/"
    assert client.get("/o/alpha/")["Location"].startswith("/accounts/login/"), "the password alone opens nothing"
    client.post("/accounts/second-factor/authenticate/", {"code": "123456"})
    assert not signed_in(client)
    code = code_of()
    client.post("/accounts/second-factor/authenticate/", {"code": code})
    assert signed_in(client)
    other = Client()
    sign_in(other, alice)
    other.post("/accounts/second-factor/authenticate/", {"code": code})
    assert not signed_in(other), "who looked over the shoulder comes too late"


def test_codes_cannot_be_tried_without_end(client: Client, alice: User) -> None:
    give_app(alice)
    sign_in(client, alice)
    for _ in range(12):
        client.post("/accounts/second-factor/authenticate/", {"code": "000000"})
    client.post("/accounts/second-factor/authenticate/", {"code": code_of()})
    assert not signed_in(client)


def test_the_session_begins_anew_at_sign_in(client: Client, alice: User) -> None:
    client.get("/accounts/login/")
    session = client.session
    session["before"] = True
    session.save()
    before = session.session_key
    sign_in(client, alice)
    assert client.session.session_key != before


class TestRequired:
    """An organization that requires a second factor."""

    def test_who_has_none_is_led_to_it_and_sees_nothing(self, client: Client, alpha: Organization, bob: User) -> None:
        require(alpha)
        client.force_login(bob)
        for path in ("/o/alpha/", "/o/alpha/members/", "/o/alpha/calls/", "/o/alpha/members.csv"):
            answer = client.get(path)
            assert (answer.status_code, answer["Location"]) == (HTTPStatus.FOUND, "/accounts/second-factor/")
        fragment = client.get("/o/alpha/", headers={"HX-Request": "true"})
        assert fragment["HX-Redirect"] == "/accounts/second-factor/"
        assert "Alpha asks for a second factor" in client.get("/accounts/second-factor/").content.decode()
        give_app(bob)
        assert client.get("/o/alpha/members/").status_code == HTTPStatus.OK

    def test_recovery_codes_alone_are_none(self, client: Client, alpha: Organization, bob: User) -> None:
        require(alpha)
        Authenticator.objects.create(user=bob, type=Authenticator.Type.RECOVERY_CODES, data={})
        client.force_login(bob)
        assert client.get("/o/alpha/").status_code == HTTPStatus.FOUND

    def test_an_outsider_learns_nothing_of_it(self, client: Client, alpha: Organization, charlie: User) -> None:
        require(alpha)
        client.force_login(charlie)
        assert client.get("/o/alpha/").status_code == HTTPStatus.NOT_FOUND

    def test_keys_are_not_asked(self, alpha: Organization) -> None:
        api = manager_of(alpha)
        require(alpha)
        assert api.get("/v1/members").status_code == HTTPStatus.OK

    def test_other_organizations_are_seen_as_before(self, client: Client, alpha: Organization, bob: User) -> None:
        other = Organization(name="Gamma", slug="gamma")
        with organization_scope(other.id):
            other.save(force_insert=True)
        make_membership(other, bob, Role.VIEWER)
        require(alpha)
        client.force_login(bob)
        assert client.get("/o/gamma/members/").status_code == HTTPStatus.OK

    def test_whoever_turns_it_on_has_one(self, client: Client, alpha: Organization, alice: User) -> None:
        client.force_login(alice)
        client.post("/o/alpha/security/second-factor/", {"required": "on"})
        with organization_scope(alpha.id):
            assert not Organization.objects.get().requires_second_factor
        give_app(alice)
        client.post("/o/alpha/security/second-factor/", {"required": "on"})
        with organization_scope(alpha.id):
            assert Organization.objects.get().requires_second_factor
        client.post("/o/alpha/security/second-factor/", {})
        with organization_scope(alpha.id):
            assert not Organization.objects.get().requires_second_factor
        assert actions(alpha)[-2:] == ["second_factor.required", "second_factor.optional"]

    def test_a_key_turns_it_on_only_where_an_owner_has_one(self, alpha: Organization, alice: User, bob: User) -> None:
        give_app(bob)
        for actor in (management_key_actor(new_id(), "CI"), PLATFORM, user_actor(alice.id, alice.email)):
            with organization_scope(alpha.id), pytest.raises(SecondFactorFirst):
                require_second_factor(organization_id=alpha.id, required=True, actor=actor, now=NOW)
        give_app(alice)
        with organization_scope(alpha.id):
            require_second_factor(
                organization_id=alpha.id, required=True, actor=management_key_actor(new_id(), "CI"), now=NOW
            )


def test_what_is_sealed_opens_for_its_purpose_alone() -> None:
    sealed = seal(KEY, purpose="second factor")
    assert KEY not in sealed
    assert unseal(sealed, purpose="second factor") == KEY
    touched = sealed[:-12] + ("B" if sealed[-12] == "A" else "A") + sealed[-11:]
    for broken, purpose in ((sealed, "single sign-on"), (touched, "second factor"), ("", "second factor")):
        with pytest.raises(SealBroken):
            unseal(broken, purpose=purpose)


def test_a_changed_key_of_the_portal_still_opens_what_the_old_one_sealed(settings: object) -> None:
    sealed = seal("text", purpose="x")
    old, settings.SECRET_KEY = settings.SECRET_KEY, "another"  # type: ignore[attr-defined]
    with pytest.raises(SealBroken):
        unseal(sealed, purpose="x")
    settings.SECRET_KEY_FALLBACKS = [old]  # type: ignore[attr-defined]
    assert unseal(sealed, purpose="x") == "text"
