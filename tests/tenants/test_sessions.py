"""Where a person is signed in: seeing it, ending it, and what ends by itself."""

from __future__ import annotations

from http import HTTPStatus

import pytest
import time_machine
from allauth.usersessions.models import UserSession
from django.test import Client

from tenants.models import AuditEvent, Organization, User
from tenants.scope import organization_scope
from tenants.user_agents import browser_of
from tests.factories.tenants import PASSWORD

pytestmark = pytest.mark.django_db
FIREFOX = "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:128.0) Gecko/20100101 Firefox/128.0"
IPHONE = (
    "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.5 "
    "Mobile/15E148 Safari/604.1"
)


def browser(user: User, user_agent: str = FIREFOX, ip: str = "192.0.2.1") -> Client:
    """Return a browser that a person has signed in with."""
    client = Client(headers={"User-Agent": user_agent}, REMOTE_ADDR=ip)
    client.post("/accounts/login/", {"login": user.email, "password": PASSWORD})
    assert in_(client)
    return client


def in_(client: Client) -> bool:
    return client.get("/account/").status_code == HTTPStatus.OK


def actions(organization: Organization) -> list[str]:
    with organization_scope(organization.id):
        return list(AuditEvent.objects.order_by("id").values_list("action", flat=True))


def test_a_person_sees_where_they_are_signed_in(alice: User, charlie: User) -> None:
    desk, phone = browser(alice), browser(alice, IPHONE, "198.51.100.7")
    browser(charlie, ip="203.0.113.5")
    page = desk.get("/account/sessions/")
    text = page.content.decode()
    assert [row["here"] for row in page.context["rows"]] == [True, False]
    for word in ("Firefox, Windows", "Safari, iPhone", "192.0.2.1", "198.51.100.7"):
        assert word in text
    assert "203.0.113.5" not in text
    assert in_(phone)


def test_one_other_session_is_signed_out(alice: User, alpha: Organization) -> None:
    desk, phone = browser(alice), browser(alice, IPHONE)
    session = UserSession.objects.get(session_key=phone.session.session_key)
    desk.post("/account/sessions/end/", {"session": session.id})
    assert (in_(desk), in_(phone)) == (True, False)
    assert actions(alpha)[-1] == "person.sessions_ended"


def test_all_others_are_signed_out(alice: User, charlie: User) -> None:
    desk, phone, tablet, theirs = browser(alice), browser(alice, IPHONE), browser(alice), browser(charlie)
    desk.post("/account/sessions/end/", {"others": "on"})
    assert [in_(client) for client in (desk, phone, tablet, theirs)] == [True, False, False, True]


def test_the_own_session_can_be_ended_too(alice: User) -> None:
    desk = browser(alice)
    desk.post("/account/sessions/end/", {"session": UserSession.objects.get().id})
    assert not in_(desk)


def test_nobody_ends_the_session_of_somebody_else(alice: User, charlie: User) -> None:
    desk, theirs = browser(alice), browser(charlie)
    session = UserSession.objects.get(user=charlie)
    for value in (session.id, "0", "x", "9" * 30, ""):
        assert desk.post("/account/sessions/end/", {"session": value}).status_code == HTTPStatus.NOT_FOUND
    assert in_(theirs)


def test_changing_the_password_signs_out_everywhere_else(alice: User, alpha: Organization) -> None:
    desk, phone = browser(alice), browser(alice, IPHONE)
    desk.post("/accounts/reauthenticate/", {"password": PASSWORD})
    before = desk.session.session_key
    answer = desk.post(
        "/accounts/password/change/",
        {"oldpassword": PASSWORD, "password1": "nine-purple-elephants", "password2": "nine-purple-elephants"},
    )
    assert answer.status_code == HTTPStatus.FOUND
    assert (in_(desk), in_(phone)) == (True, False)
    assert desk.session.session_key != before
    assert "person.password_changed" in actions(alpha)
    assert UserSession.objects.filter(user=alice, session_key=desk.session.session_key).exists()


def test_when_a_session_was_seen_is_noted_now_and_then(alice: User) -> None:
    desk = browser(alice)
    first = UserSession.objects.get().last_seen_at
    desk.get("/account/")
    assert UserSession.objects.get().last_seen_at == first
    with time_machine.travel(first.timestamp() + 301):
        desk.get("/account/", REMOTE_ADDR="198.51.100.9")
    row = UserSession.objects.get()
    assert (row.last_seen_at - first).total_seconds() >= 300
    assert row.ip == "198.51.100.9"


def test_somebody_on_a_unix_socket_has_no_address_and_gets_in(alice: User) -> None:
    assert browser(alice, ip="").session.session_key


@pytest.mark.parametrize(
    ("user_agent", "name"),
    [(FIREFOX, "Firefox, Windows"), (IPHONE, "Safari, iPhone"), ("", ""), ("Robot/1.0", "Robot/1.0")],
)
def test_browsers_are_called_as_people_call_them(user_agent: str, name: str) -> None:
    assert browser_of(user_agent) == name
