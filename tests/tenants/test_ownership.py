"""Handing an organization over."""

from __future__ import annotations

from datetime import timedelta
from http import HTTPStatus

import pytest
from django.test import Client
from django.utils import timezone

from tenants.actors import Actor, management_key_actor, user_actor
from tenants.errors import AlreadyOwner, OfferOver, OwnerNeedsPassword, OwnersOnly
from tenants.identifiers import new_id
from tenants.models import AuditEvent, Membership, Organization, OutboxMail, Role, User
from tenants.scope import organization_scope
from tenants.services.memberships import change_role, remove_member
from tenants.services.ownership import accept_offer, decline_offer, offer_ownership, withdraw_offer
from tests.factories.tenants import make_membership
from tests.tenants.confirming import confirmed

pytestmark = pytest.mark.django_db


def acting(user: User) -> Actor:
    return user_actor(user.id, user.email)


def place(organization: Organization, user: User) -> Membership:
    with organization_scope(organization.id):
        return Membership.objects.get(user=user)


def offer(organization: Organization, to: User, by: Actor, days_ago: int = 0) -> None:
    now = timezone.now() - timedelta(days=days_ago)
    with organization_scope(organization.id):
        offer_ownership(organization_id=organization.id, membership_id=place(organization, to).id, actor=by, now=now)


def accept(organization: Organization, user: User) -> None:
    with organization_scope(organization.id):
        accept_offer(organization_id=organization.id, actor=acting(user), now=timezone.now())


def actions(organization: Organization) -> list[str]:
    with organization_scope(organization.id):
        return list(AuditEvent.objects.order_by("id").values_list("action", flat=True))


def test_the_member_accepts_and_the_owner_becomes_an_admin(alpha: Organization, alice: User, bob: User) -> None:
    offer(alpha, bob, acting(alice))
    assert (place(alpha, alice).role, place(alpha, bob).role) == (Role.OWNER, Role.DEVELOPER), "not without an answer"
    with organization_scope(alpha.id):
        assert OutboxMail.objects.get(kind="ownership_offer").recipient == bob.email
    accept(alpha, bob)
    assert (place(alpha, alice).role, place(alpha, bob).role) == (Role.ADMIN, Role.OWNER)
    assert actions(alpha) == ["ownership.offered", "ownership.accepted"]
    with pytest.raises(OfferOver):
        accept(alpha, bob)


def test_nobody_else_can_offer_or_accept(alpha: Organization, alice: User, bob: User) -> None:
    admin = make_membership(alpha, role=Role.ADMIN).user
    for actor in (acting(admin), acting(bob), management_key_actor(new_id(), "CI")):
        with pytest.raises(OwnersOnly):
            offer(alpha, bob, actor)
    with pytest.raises(AlreadyOwner):
        offer(alpha, alice, acting(alice))
    offer(alpha, bob, acting(alice))
    for user in (admin, alice):
        with pytest.raises(OfferOver):
            accept(alpha, user)


@pytest.mark.parametrize("how", ["declined", "withdrawn", "expired", "replaced", "giver demoted", "taker gone"])
def test_an_offer_that_is_over_cannot_be_accepted(how: str, alpha: Organization, alice: User, bob: User) -> None:
    offer(alpha, bob, acting(alice), days_ago=8 if how == "expired" else 0)
    now = timezone.now()
    with organization_scope(alpha.id):
        match how:
            case "declined":
                decline_offer(organization_id=alpha.id, actor=acting(bob), now=now)
            case "withdrawn":
                withdraw_offer(organization_id=alpha.id, actor=acting(alice), now=now)
            case "replaced":
                other = make_membership(alpha)
                offer_ownership(organization_id=alpha.id, membership_id=other.id, actor=acting(alice), now=now)
            case "giver demoted":
                second = make_membership(alpha, role=Role.OWNER).user
                mine = place(alpha, alice).id
                change_role(membership_id=mine, role=Role.VIEWER, actor=acting(second), now=now)
            case "taker gone":
                remove_member(membership_id=place(alpha, bob).id, actor=acting(alice), now=now)
    with pytest.raises(OfferOver):
        accept(alpha, bob)


def test_the_pages_ask_the_owner_who_they_are_and_the_member_whether_they_want(
    client: Client, alpha: Organization, alice: User, bob: User
) -> None:
    chosen = {"member": str(place(alpha, bob).id)}
    client.force_login(alice)
    answer = client.post("/o/alpha/settings/ownership/", chosen)
    assert answer["Location"].startswith("/accounts/reauthenticate/"), "being signed in is not enough"
    assert actions(alpha) == []
    assert confirmed(alice).post("/o/alpha/settings/ownership/", chosen)["Location"] == "/o/alpha/settings/ownership/"

    other = Client()
    other.force_login(make_membership(alpha).user)
    assert "Nobody asks you" in other.get("/o/alpha/ownership/").content.decode()
    assert other.post("/o/alpha/ownership/", {"accept": "on"}).status_code == HTTPStatus.NOT_FOUND

    member = Client()
    member.force_login(bob)
    assert alice.email in member.get("/o/alpha/ownership/").content.decode()
    member.post("/o/alpha/ownership/", {"accept": "on"})
    assert (place(alpha, alice).role, place(alpha, bob).role) == (Role.ADMIN, Role.OWNER)


def test_who_has_no_way_in_of_their_own_never_becomes_an_owner(alpha: Organization, alice: User, bob: User) -> None:
    """Bob comes by a provider alone: such a session may do nothing that owners may, and providers break."""
    offer(alpha, bob, acting(alice))
    bob.set_unusable_password()
    bob.save()
    with pytest.raises(OwnerNeedsPassword):
        accept(alpha, bob)
    with pytest.raises(OwnerNeedsPassword):
        offer(alpha, bob, acting(alice))
    with organization_scope(alpha.id), pytest.raises(OwnerNeedsPassword):
        change_role(membership_id=place(alpha, bob).id, role=Role.OWNER, actor=acting(alice), now=timezone.now())
    assert (place(alpha, alice).role, place(alpha, bob).role) == (Role.OWNER, Role.DEVELOPER)
    page = confirmed(alice).get("/o/alpha/settings/ownership/").content.decode()
    assert "Nobody to hand it to" in page
    assert "<select" not in page.split("<main", 1)[1]
