"""Members and teams changed by several people in the same moment."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import UTC, datetime

import pytest
from django.db import connection

from tenants.actors import PLATFORM
from tenants.errors import LastOwner, TeamCycle
from tenants.models import Membership, Organization, Role
from tenants.scope import organization_scope
from tenants.services.memberships import change_role, remove_member
from tenants.services.teams import change_team
from tests.factories.tenants import make_membership, make_organization, make_team

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
                start.wait()
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
