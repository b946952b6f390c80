"""Signing up, confirming the mail address, signing in, and everything that may go wrong on the way."""

from __future__ import annotations

import re
from datetime import timedelta
from http import HTTPStatus
from urllib.parse import urlsplit

import pytest
from allauth.account.models import EmailAddress
from django.core.mail import EmailMultiAlternatives
from django.test import Client
from django.utils import timezone
from pytest_django.fixtures import Settings

from portal.forms import SignupForm
from portal.services import onboarding
from tenants.models import Membership, Organization, OutboxMail, Role, User
from tenants.scope import platform_scope
from tenants.services.outbox import send_due_mail
from tests.factories.tenants import PASSWORD, make_user
from tests.mailing import MailServer, sent_mails

pytestmark = pytest.mark.django_db

FORM = {
    "name": "Dana Fu",
    "organization_name": "Dana Boards",
    "email": "dana@boards.example",
    "password1": "nine-purple-elephants",
}


def sign_up(client: Client, **changes: str) -> int:
    return client.post("/accounts/signup/", {**FORM, **changes}).status_code


def link_in(message: EmailMultiAlternatives) -> str:
    found = re.search(r"https?://\S+", str(message.body))
    assert found
    return urlsplit(found[0]).path


def signed_in(client: Client) -> bool:
    return "_auth_user_id" in client.session


def test_signing_up_opens_an_organization_and_sends_one_mail(client: Client) -> None:
    assert sign_up(client) == HTTPStatus.FOUND
    user = User.objects.get(email="dana@boards.example")
    assert user.name == "Dana Fu"
    with platform_scope("test"):
        membership = Membership.objects.select_related("organization").get(user=user)
    assert (membership.role, membership.organization.name) == (Role.OWNER, "Dana Boards")
    assert [message.to for message in sent_mails()] == [["dana@boards.example"]]
    assert not signed_in(client)


def test_the_mail_has_one_button_that_lets_the_person_in(client: Client) -> None:
    sign_up(client)
    (message,) = sent_mails()
    html = str(message.alternatives[0][0])
    assert html.count("<a ") == 1
    assert link_in(message) in html

    assert client.get(link_in(message)).status_code == HTTPStatus.OK
    assert not EmailAddress.objects.get().verified, "mail scanners follow links: only the button confirms"
    client.post(link_in(message))
    assert EmailAddress.objects.get().verified
    client.post("/accounts/login/", {"login": FORM["email"], "password": FORM["password1"]})
    assert signed_in(client)


def test_nobody_gets_in_with_an_unconfirmed_address(client: Client) -> None:
    sign_up(client)
    client.post("/accounts/login/", {"login": FORM["email"], "password": FORM["password1"]})
    assert not signed_in(client)


def test_the_mail_is_in_the_language_of_the_page(client: Client) -> None:
    client.cookies["django_language"] = "zh-hans"
    sign_up(client)
    assert User.objects.get().language == "zh-hans"
    assert '<html lang="zh-Hans">' in str(sent_mails()[0].alternatives[0][0])


def test_links_lead_to_the_portal_whatever_host_the_request_names(client: Client, settings: Settings) -> None:
    settings.BASE_URL = "https://vision.example"
    client.post("/accounts/signup/", FORM, headers={"Host": "evil.example"})
    body = str(sent_mails()[0].body)
    assert "https://vision.example/accounts/confirm-email/" in body
    assert "evil.example" not in body


def test_a_taken_address_is_not_given_away(client: Client) -> None:
    make_user("dana@boards.example")
    taken = client.post("/accounts/signup/", FORM)
    free = Client().post("/accounts/signup/", {**FORM, "email": "free@boards.example"})
    assert (taken.status_code, taken["Location"]) == (free.status_code, free["Location"])
    assert User.objects.count() == 2
    with platform_scope("test"):
        assert Organization.objects.count() == 1
    assert sent_mails()[0].subject == "You have an account already"


def test_two_who_take_an_address_at_once_are_answered_as_always(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_user(FORM["email"])
    free = Client().post("/accounts/signup/", {**FORM, "email": "free@boards.example"})
    monkeypatch.setattr(SignupForm, "validate_unique_email", lambda self, value: value)  # the check came too early
    taken = client.post("/accounts/signup/", {**FORM, "organization_name": "Second"})
    assert (taken.status_code, taken["Location"]) == (free.status_code, free["Location"])
    assert User.objects.count() == 2
    with platform_scope("test"):
        assert [organization.name for organization in Organization.objects.all()] == ["Dana Boards"]
    assert sent_mails()[-1].subject == "You have an account already"


def test_a_wrong_password_and_an_unknown_address_get_the_same_answer(client: Client) -> None:
    make_user("dana@boards.example")
    pages = [
        client.post("/accounts/login/", {"login": address, "password": "wrong-wrong-wrong"}).content.decode()
        for address in ("dana@boards.example", "nobody@boards.example")
    ]
    plain = [re.sub(r'value="[^"]*"|"X-CSRFToken": "[^"]*"|X-CSRFToken[^}]*', "", page) for page in pages]
    assert plain[0] == plain[1]


def test_asking_for_a_new_password_does_not_tell_who_has_an_account(client: Client) -> None:
    make_user("dana@boards.example")
    answers = [
        client.post("/accounts/password/reset/", {"email": address})
        for address in ("dana@boards.example", "nobody@boards.example")
    ]
    assert answers[0]["Location"] == answers[1]["Location"]
    assert [message.subject for message in sent_mails()] == [
        "Choose a new password",
        "There is no account with this address",
    ]


def test_a_new_password_can_be_chosen_by_mail(client: Client) -> None:
    make_user("dana@boards.example")
    client.post("/accounts/password/reset/", {"email": "dana@boards.example"})
    form = client.get(link_in(sent_mails()[0]), follow=True)
    page = form.redirect_chain[-1][0]
    client.post(page, {"password1": "eleven-green-giraffes", "password2": "eleven-green-giraffes"})
    Client().post("/accounts/login/", {"login": "dana@boards.example", "password": PASSWORD})
    client.post("/accounts/login/", {"login": "dana@boards.example", "password": "eleven-green-giraffes"})
    assert signed_in(client)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("password1", "password12"),
        ("password1", "short"),
        ("password1", "dana@boards.example"),
        ("email", "not an address"),
        ("name", ""),
        ("organization_name", "   "),
        ("organization_name", "x" * 121),
        ("organization_name", "nul\x00byte"),
    ],
)
def test_what_is_not_right_is_said_beside_the_field(client: Client, field: str, value: str) -> None:
    page = client.post("/accounts/signup/", {**FORM, field: value})
    assert page.status_code == HTTPStatus.OK
    assert page.context["form"].errors.keys() == {field}
    assert b'aria-invalid="true"' in page.content
    assert not User.objects.exists()


def test_if_the_organization_fails_there_is_no_person_either(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(**_: object) -> None:
        raise RuntimeError("no room")

    monkeypatch.setattr(onboarding, "create_organization", fail)
    with pytest.raises(RuntimeError):
        sign_up(client)
    assert not User.objects.exists()
    assert not sent_mails()


def test_guessing_passwords_is_slowed_down(client: Client) -> None:
    make_user("dana@boards.example")
    for _ in range(5):
        client.post("/accounts/login/", {"login": "dana@boards.example", "password": "wrong-wrong-wrong"})
    client.post("/accounts/login/", {"login": "dana@boards.example", "password": PASSWORD})
    assert not signed_in(client)


def test_signing_out_takes_a_press_of_the_button(client: Client) -> None:
    client.force_login(make_user())
    client.get("/accounts/logout/")
    assert signed_in(client)
    client.post("/accounts/logout/")
    assert not signed_in(client)


def test_a_password_change_is_told_by_mail(client: Client) -> None:
    user = make_user("dana@boards.example")
    client.post("/accounts/login/", {"login": user.email, "password": PASSWORD})
    client.post(
        "/accounts/password/change/",
        {"oldpassword": PASSWORD, "password1": "eleven-green-giraffes", "password2": "eleven-green-giraffes"},
    )
    assert User.objects.get().check_password("eleven-green-giraffes")
    assert [message.to for message in sent_mails()] == [["dana@boards.example"]]


def test_a_mail_server_that_is_away_keeps_nobody_out_and_loses_no_mail(client: Client, settings: Settings) -> None:
    server = MailServer()
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", server.port
    assert sign_up(client) == HTTPStatus.FOUND
    make_user("erin@boards.example")
    assert client.post("/accounts/password/reset/", {"email": "erin@boards.example"}).status_code == HTTPStatus.FOUND
    assert send_due_mail() == 0
    with server.running():
        assert send_due_mail(clock=lambda: timezone.now() + timedelta(minutes=1)) == 2
    assert {message["To"] for message in server.accepted} == {"dana@boards.example", "erin@boards.example"}
    assert all("http" in message.get_body(("plain",)).get_content() for message in server.accepted)  # type: ignore
    with platform_scope("test"):
        assert all(stored.context == {} for stored in OutboxMail.objects.all()), "links are kept no longer than needed"
