"""Invitations: who may send them, what their link opens, and for whom."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from urllib.parse import urlsplit

import pytest
from allauth.account.models import EmailAddress
from django.core import mail
from django.test import Client
from django.utils import timezone

from tenants.actors import PLATFORM, user_actor
from tenants.errors import (
    AlreadyInvited,
    AlreadyMember,
    InvitationNotYours,
    InvitationOver,
    NotFound,
    OwnersOnly,
    SentJustNow,
    TooManyInvitations,
)
from tenants.models import AuditEvent, Invitation, Membership, Organization, OutboxMail, Role, User
from tenants.permissions import Permission
from tenants.scope import organization_scope, platform_scope
from tenants.services import invitations
from tenants.services.outbox import send_due_mail
from tests.api_client import body, manager_of
from tests.factories.tenants import make_membership, make_user

pytestmark = pytest.mark.django_db
NOW = datetime(2026, 11, 21, 8, 0, tzinfo=UTC)
EMAIL = "dana@boards.example"


def invite(organization: Organization, email: str = EMAIL, role: str = Role.DEVELOPER, **more: object) -> Invitation:
    with organization_scope(organization.id):
        return invitations.invite(
            organization_id=organization.id,
            email=email,
            role=role,
            actor=more.pop("actor", PLATFORM),  # type: ignore[arg-type]
            now=more.pop("now", timezone.now()),  # type: ignore[arg-type]
            **more,  # type: ignore[arg-type]
        )


def secrets_sent(organization: Organization) -> list[str]:
    """Return the secrets of the links that were queued, oldest first."""
    with organization_scope(organization.id):
        contexts = OutboxMail.objects.filter(kind="invitation").order_by("id").values_list("context", flat=True)
        return [urlsplit(context["button_url"]).path.split("/")[2] for context in contexts]


def accept(organization: Organization, user: User, secret: str | None = None) -> Membership:
    secret = secret or secrets_sent(organization)[-1]
    return invitations.accept_invitation(secret=secret, user=user, ip=None, now=timezone.now())


def role_of(organization: Organization, user: User) -> str | None:
    with organization_scope(organization.id):
        return Membership.objects.filter(user=user).values_list("role", flat=True).first()


def actions(organization: Organization) -> list[str]:
    with organization_scope(organization.id):
        return list(AuditEvent.objects.order_by("id").values_list("action", flat=True))


def test_an_existing_user_accepts_and_is_a_member(alpha: Organization, alice: User) -> None:
    dana = make_user(EMAIL)
    invite(alpha, "Dana@Boards.example", Role.BILLING, actor=user_actor(alice.id, alice.email))
    accept(alpha, dana)
    assert role_of(alpha, dana) == Role.BILLING
    assert actions(alpha) == ["invitation.sent", "member.added", "invitation.accepted"]
    with pytest.raises(InvitationOver):
        accept(alpha, dana)


def test_only_the_confirmed_invited_address_opens_it(alpha: Organization, charlie: User) -> None:
    invite(alpha)
    unconfirmed = make_user(EMAIL, verified=False)
    for user in (charlie, unconfirmed):
        with pytest.raises(InvitationNotYours):
            accept(alpha, user)
    assert (role_of(alpha, charlie), role_of(alpha, unconfirmed)) == (None, None)


def test_a_second_confirmed_address_counts(alpha: Organization, charlie: User) -> None:
    EmailAddress.objects.create(user=charlie, email=EMAIL, verified=True)
    invite(alpha)
    accept(alpha, charlie)
    assert role_of(alpha, charlie) == Role.DEVELOPER


def test_the_secret_is_long_is_not_stored_and_cannot_be_guessed(alpha: Organization) -> None:
    invitation = invite(alpha)
    (secret,) = secrets_sent(alpha)
    assert len(secret) >= 43, "256 bits"
    assert secret not in str(vars(invitation))
    dana = make_user(EMAIL)
    for guess in (secret[:-1] + ("A" if secret[-1] != "A" else "B"), str(invitation.id), invitation.secret_hash, "x"):
        with pytest.raises(NotFound):
            accept(alpha, dana, guess)


def test_an_expired_or_revoked_link_is_dead(alpha: Organization) -> None:
    dana, erin = make_user(EMAIL), make_user("erin@boards.example")
    invite(alpha, now=timezone.now() - timedelta(days=8))
    with pytest.raises(InvitationOver):
        accept(alpha, dana)
    invitation = invite(alpha, erin.email)
    with organization_scope(alpha.id):
        invitations.revoke_invitation(invitation_id=invitation.id, actor=PLATFORM, now=timezone.now())
    with pytest.raises(InvitationOver):
        accept(alpha, erin)
    assert role_of(alpha, dana) is role_of(alpha, erin) is None


def test_sending_again_replaces_the_link_and_not_too_often(alpha: Organization) -> None:
    invitation = invite(alpha, now=NOW)
    with organization_scope(alpha.id):
        with pytest.raises(SentJustNow):
            invitations.resend_invitation(invitation_id=invitation.id, actor=PLATFORM, now=NOW + timedelta(seconds=59))
        invitations.resend_invitation(invitation_id=invitation.id, actor=PLATFORM, now=timezone.now())
    first, second = secrets_sent(alpha)
    dana = make_user(EMAIL)
    with pytest.raises(NotFound):
        accept(alpha, dana, first)
    accept(alpha, dana, second)


def test_members_and_the_invited_are_not_invited_again(alpha: Organization, bob: User) -> None:
    with pytest.raises(AlreadyMember):
        invite(alpha, bob.email)
    invite(alpha)
    with pytest.raises(AlreadyInvited):
        invite(alpha, EMAIL.upper())
    with pytest.raises(OwnersOnly):
        invite(alpha, "erin@boards.example", Role.OWNER)


def test_an_expired_invitation_makes_room_for_another(alpha: Organization) -> None:
    invite(alpha, now=timezone.now() - timedelta(days=8))
    invite(alpha)
    accept(alpha, make_user(EMAIL))


def test_nobody_mails_the_whole_world(alpha: Organization, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(invitations, "MOST_OPEN", 2)
    for number in range(2):
        invite(alpha, f"person-{number}@boards.example")
    with pytest.raises(TooManyInvitations):
        invite(alpha)


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(("language", "subject"), [("en", "Alice invites you to Alpha"), ("zh-hans", "Alpha")])
def test_the_mail_says_who_and_where_and_has_one_button(
    alpha: Organization, alice: User, language: str, subject: str
) -> None:
    make_user(EMAIL, language=language)
    invite(alpha, actor=user_actor(alice.id, "Alice"))
    (secret,) = secrets_sent(alpha)
    assert send_due_mail() == 1
    (message,) = mail.outbox
    html = str(message.alternatives[0][0])  # type: ignore[attr-defined]
    assert subject in message.subject
    assert message.to == [EMAIL]
    assert html.count("<a ") == 1
    assert f"/invitations/{secret}/" in html
    assert f"/invitations/{secret}/" in message.body
    with platform_scope("test"):
        assert OutboxMail.objects.get().context == {}, "the link is forgotten once it was sent"


class TestThePage:
    """The page that the mail leads to."""

    @pytest.fixture
    def path(self, alpha: Organization, alice: User) -> str:
        invite(alpha, actor=user_actor(alice.id, alice.email))
        return f"/invitations/{secrets_sent(alpha)[0]}/"

    def test_an_unknown_link_is_not_found(self, client: Client, alpha: Organization) -> None:
        for method in (client.get, client.post):
            assert method("/invitations/nonsense/").status_code == HTTPStatus.NOT_FOUND

    def test_a_new_person_signs_up_without_opening_an_organization_and_joins(
        self, client: Client, path: str, alpha: Organization
    ) -> None:
        assert "Make an account" in client.get(path).content.decode()
        form = client.get(f"/accounts/signup/?next={path}").content.decode()
        assert EMAIL in form
        assert "organization_name" not in form
        answer = client.post(
            f"/accounts/signup/?next={path}",
            {"name": "Dana", "email": EMAIL, "password1": "nine-purple-elephants", "next": path},
        )
        assert answer["Location"] == path, "the link proved the address: no mail to confirm it again"
        assert EmailAddress.objects.get(email=EMAIL).verified
        assert role_of(alpha, User.objects.get(email=EMAIL)) is None, "nobody joins by a GET"
        assert client.post(path)["Location"] == "/o/alpha/"
        assert role_of(alpha, User.objects.get(email=EMAIL)) == Role.DEVELOPER
        with platform_scope("test"):
            assert Organization.objects.count() == 1

    def test_signing_up_with_another_address_proves_nothing_about_it(self, client: Client, path: str) -> None:
        client.get(path)
        client.post(
            "/accounts/signup/", {"name": "Eve", "email": "eve@x.example", "password1": "nine-purple-elephants"}
        )
        assert not EmailAddress.objects.get(email="eve@x.example").verified
        assert "_auth_user_id" not in client.session

    def test_a_known_person_is_asked_to_sign_in(self, client: Client, path: str) -> None:
        make_user(EMAIL)
        page = client.get(path).content.decode()
        assert f"/accounts/login/?next={path}" in page
        assert "signup" not in page[page.index("<main") :]

    def test_somebody_else_is_told_and_does_not_join(
        self, client: Client, path: str, alpha: Organization, charlie: User
    ) -> None:
        client.force_login(charlie)
        assert "but the invitation is for" in client.get(path).content.decode()
        client.post(path)
        assert role_of(alpha, charlie) is None

    def test_a_dead_link_says_so(self, client: Client, path: str, alpha: Organization) -> None:
        with organization_scope(alpha.id):
            Invitation.objects.update(revoked_at=timezone.now())
        assert "Ask for a new one" in client.get(path).content.decode()


def test_an_admin_invites_sends_again_and_takes_back_on_the_page(
    client: Client, alpha: Organization, alice: User
) -> None:
    client.force_login(alice)
    client.post("/o/alpha/members/invite/", {"email": EMAIL, "role": "viewer", "days": "1"})
    with organization_scope(alpha.id):
        invitation = Invitation.objects.get()
    assert (invitation.role, invitation.invited_by_name) == (Role.VIEWER, alice.email)
    assert invitation.expires_at - invitation.sent_at == timedelta(days=1)
    assert EMAIL in client.get("/o/alpha/members/").content.decode()
    again = client.post(f"/o/alpha/invitations/{invitation.id}/resend/", follow=True)
    assert "Wait a minute" in again.content.decode()
    client.post(f"/o/alpha/invitations/{invitation.id}/revoke/")
    assert EMAIL not in re.sub(r"taken back", "", client.get("/o/alpha/members/").content.decode().split("<table")[-1])
    wrong = client.post("/o/alpha/members/invite/", {"email": "x@y.example", "role": "owner", "days": "1"})
    assert "role" in wrong.context["form"].errors


def test_the_api_does_the_same(alpha: Organization, bob: User) -> None:
    api = manager_of(alpha)
    made = api.post("/v1/invitations", {"email": EMAIL, "role": "viewer", "expires_in_days": 2}, Idempotency_Key="a")
    assert made.status_code == HTTPStatus.CREATED, made.content
    assert body(made)["status"] == "open"
    assert "secret" not in made.content.decode()
    again = api.post("/v1/invitations", {"email": EMAIL, "role": "viewer", "expires_in_days": 2}, Idempotency_Key="a")
    assert body(again)["id"] == body(made)["id"]
    taken = api.post("/v1/invitations", {"email": EMAIL, "role": "viewer"})
    assert (taken.status_code, body(taken)["code"]) == (HTTPStatus.CONFLICT, "conflict")
    for wrong in ({"role": "owner"}, {"role": "viewer", "expires_in_days": 31}, {"role": "viewer", "team": "x"}):
        refused = api.post("/v1/invitations", {"email": "x@y.example", **wrong})
        assert body(refused)["code"] == "validation_error"
    path = f"/v1/invitations/{body(made)['id']}"
    assert body(api.post(f"{path}/resend"))["code"] == "conflict"
    assert [row["email"] for row in body(api.get("/v1/invitations"))["data"]] == [EMAIL]
    assert body(api.post(f"{path}/revoke"))["status"] == "revoked"
    assert body(api.get("/v1/invitations"))["data"] == []
    assert body(api.post(f"{path}/revoke"))["code"] == "conflict"


def test_members_over_the_api(alpha: Organization, alice: User, bob: User) -> None:
    api = manager_of(alpha)
    rows = {row["email"]: row for row in body(api.get("/v1/members"))["data"]}
    assert {email: row["role"] for email, row in rows.items()} == {alice.email: "owner", bob.email: "developer"}
    path = f"/v1/members/{rows[bob.email]['id']}"
    changed = api.raw("PATCH", path, b'{"role": "viewer"}', "application/json")
    assert (changed.status_code, body(changed)["role"]) == (HTTPStatus.OK, "viewer")
    owner = api.raw("PATCH", path, b'{"role": "owner"}', "application/json")
    assert body(owner)["code"] == "insufficient_scope", "no key makes an owner"
    for method, content in (("PATCH", b'{"role": "viewer"}'), ("DELETE", b"")):
        refused = api.raw(method, f"/v1/members/{rows[alice.email]['id']}", content, "application/json")
        assert body(refused)["code"] == "insufficient_scope"
    assert api.raw("DELETE", path, b"", "application/json").status_code == HTTPStatus.NO_CONTENT
    assert role_of(alpha, bob) is None
    reader = manager_of(alpha, Permission.MEMBERS_VIEW)
    assert body(reader.post("/v1/invitations", {"email": EMAIL, "role": "viewer"}))["code"] == "insufficient_scope"


def test_the_list_of_members_is_filtered_and_downloaded(client: Client, alpha: Organization, bob: User) -> None:
    make_membership(alpha, make_user("vera@alpha.example", name="=Vera"), Role.VIEWER)
    client.force_login(bob)
    page = client.get("/o/alpha/members/?q=vera")
    assert [row["membership"].user.email for row in page.context["rows"]] == ["vera@alpha.example"]
    assert [row["membership"].role for row in client.get("/o/alpha/members/?role=owner").context["rows"]] == ["owner"]
    assert "Clear the filter" in client.get("/o/alpha/members/?q=nobody").content.decode()
    lines = b"".join(client.get("/o/alpha/members.csv?role=viewer")).decode().splitlines()  # type: ignore[arg-type]
    assert lines[0] == "id,email,name,role,since"
    assert "vera@alpha.example,'=Vera,viewer" in lines[1]
    assert len(lines) == 2


def test_a_member_leaves_and_the_last_owner_cannot(client: Client, alpha: Organization, alice: User, bob: User) -> None:
    client.force_login(bob)
    client.post("/o/alpha/members/leave/", {"confirm_name": "something"})
    assert role_of(alpha, bob) == Role.DEVELOPER
    client.post("/o/alpha/members/leave/", {"confirm_name": "Alpha"})
    assert role_of(alpha, bob) is None
    assert actions(alpha) == ["member.left"]
    client.force_login(alice)
    assert "only owner" in client.get("/o/alpha/members/leave/").content.decode()
    client.post("/o/alpha/members/leave/", {"confirm_name": "Alpha"})
    assert role_of(alpha, alice) == Role.OWNER
