"""Members and teams changed by several people in the same moment."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import UTC, datetime

import pytest
from django.db import IntegrityError, connection
from django.utils import timezone

from tenants.actors import PLATFORM, user_actor
from tenants.errors import InvitationOver, LastOwner, OfferOver, TeamCycle
from tenants.models import AuditEvent, Invitation, Membership, Organization, OutboxMail, Role, User
from tenants.scope import organization_scope
from tenants.services import invitations, memberships
from tenants.services.leaving import delete_person
from tenants.services.memberships import change_role, remove_member
from tenants.services.ownership import accept_offer, offer_ownership
from tenants.services.teams import change_team
from tests.factories.tenants import make_membership, make_organization, make_team, make_user

pytestmark = pytest.mark.concurrency
NOW = datetime(2026, 11, 21, 8, 0, tzinfo=UTC)


@pytest.fixture
def organization(committed_db: None) -> Organization:
    return make_organization("Alpha")


def race(organization: Organization, *acts: Callable[[], object]) -> list[type[Exception]]:
    """Run the acts at once, each in a transaction of its own, and return the refusals."""
    start = threading.Barrier(len(acts))
    refusals: list[type[Exception]] = []

    def run(act: Callable[[], object]) -> None:
        try:
            with organization_scope(organization.id):
                start.wait(timeout=60)
                act()
        except Exception as error:
            refusals.append(type(error))
        finally:
            connection.close()

    threads = [threading.Thread(target=run, args=(act,)) for act in acts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return refusals


def test_two_moves_at_once_close_no_circle(organization: Organization) -> None:
    one, two = make_team(organization), make_team(organization)
    refusals = race(
        organization,
        lambda: change_team(team_id=one.id, name=one.name, parent_id=two.id, actor=PLATFORM, now=NOW),
        lambda: change_team(team_id=two.id, name=two.name, parent_id=one.id, actor=PLATFORM, now=NOW),
    )
    assert refusals == [TeamCycle]


def test_two_owners_who_leave_at_once_leave_one(organization: Organization) -> None:
    second = make_membership(organization, role=Role.OWNER)
    with organization_scope(organization.id):
        first = Membership.objects.exclude(id=second.id).get()
    refusals = race(
        organization,
        lambda: remove_member(membership_id=first.id, actor=PLATFORM, now=NOW),
        lambda: change_role(membership_id=second.id, role=Role.VIEWER, actor=PLATFORM, now=NOW),
    )
    assert refusals == [LastOwner]
    with organization_scope(organization.id):
        assert Membership.objects.filter(role=Role.OWNER).count() == 1


def counted(organization: Organization, action: str) -> int:
    with organization_scope(organization.id):
        return AuditEvent.objects.filter(action=action).count()


@pytest.fixture
def invited(organization: Organization) -> tuple[User, str]:
    """Somebody who is invited, and the secret of their link."""
    person = make_user("dana@boards.example")
    with organization_scope(organization.id):
        invitations.invite(
            organization_id=organization.id, email=person.email, role=Role.VIEWER, actor=PLATFORM, now=timezone.now()
        )
        context = OutboxMail.objects.get(kind="invitation").context
    return person, context["button_url"].split("/")[-2]


def test_an_invitation_is_accepted_once(organization: Organization, invited: tuple[User, str]) -> None:
    person, secret = invited

    def accept() -> None:
        invitations.accept_invitation(secret=secret, user=person, ip=None, now=timezone.now())

    refusals = race(organization, *[accept] * 4)
    assert refusals == [InvitationOver] * 3
    assert counted(organization, "invitation.accepted") == 1
    with organization_scope(organization.id):
        assert Membership.objects.filter(user=person).count() == 1


@pytest.mark.parametrize("locked", [True, False], ids=["locked", "control without the lock"])
def test_accepting_and_revoking_at_once_is_one_of_both(
    organization: Organization, invited: tuple[User, str], locked: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    person, secret = invited
    with organization_scope(organization.id):
        invitation = Invitation.objects.get()
    # Both have read that it is open before either writes, unless the lock lets only one read.
    both_read = threading.Barrier(2)
    real_lock = invitations._lock

    def lock(invitation_id: object) -> Invitation:
        if locked:
            return real_lock(invitation.id)
        found = Invitation.objects.get(id=invitation.id)
        both_read.wait(timeout=60)
        return found

    monkeypatch.setattr(invitations, "_lock", lock)
    refusals = race(
        organization,
        lambda: invitations.accept_invitation(secret=secret, user=person, ip=None, now=timezone.now()),
        lambda: invitations.revoke_invitation(invitation_id=invitation.id, actor=PLATFORM, now=timezone.now()),
    )
    if locked:
        assert refusals == [InvitationOver]
        assert counted(organization, "invitation.accepted") + counted(organization, "invitation.revoked") == 1
    else:
        # Nothing but the database's own constraint is left to notice.
        assert refusals == [IntegrityError]


@pytest.mark.parametrize("locked", [True, False], ids=["locked", "control without the lock"])
def test_the_last_two_owners_cannot_leave_together(
    organization: Organization, locked: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    second = make_membership(organization, role=Role.OWNER)
    with organization_scope(organization.id):
        first = Membership.objects.exclude(id=second.id).get()
    if not locked:
        both_read = threading.Barrier(2)

        def read(membership_id: object) -> list[Membership]:
            found = list(Membership.objects.filter(role=Role.OWNER).select_related("user"))
            both_read.wait(timeout=60)
            return found

        monkeypatch.setattr(memberships, "_lock_owners_and", read)
    refusals = race(
        organization,
        *[
            lambda place=place: remove_member(  # type: ignore[misc]
                membership_id=place.id,
                actor=user_actor(place.user_id, place.user.email),
                now=NOW,
                action="member.left",
            )
            for place in (first, second)
        ],
    )
    with organization_scope(organization.id):
        left = Membership.objects.filter(role=Role.OWNER).count()
    assert (refusals, left) == (([LastOwner], 1) if locked else ([], 0))


def test_two_owners_who_delete_their_accounts_at_once_leave_one(organization: Organization) -> None:
    second = make_membership(organization, role=Role.OWNER).user
    with organization_scope(organization.id):
        first = Membership.objects.exclude(user=second).get().user
    refusals = race(
        organization, *[lambda user=user: delete_person(user=user, ip=None, now=NOW) for user in (first, second)]
    )
    assert refusals == [LastOwner]
    with organization_scope(organization.id):
        assert Membership.objects.filter(role=Role.OWNER).count() == 1


def test_an_offer_is_accepted_once(organization: Organization) -> None:
    taker = make_membership(organization)
    with organization_scope(organization.id):
        owner = Membership.objects.get(role=Role.OWNER).user
        offer_ownership(
            organization_id=organization.id,
            membership_id=taker.id,
            actor=user_actor(owner.id, owner.email),
            now=timezone.now(),
        )
    mine = user_actor(taker.user_id, taker.user.email)

    def accept() -> None:
        accept_offer(organization_id=organization.id, actor=mine, now=timezone.now())

    assert race(organization, accept, accept, accept) == [OfferOver] * 2
    assert counted(organization, "ownership.accepted") == 1
