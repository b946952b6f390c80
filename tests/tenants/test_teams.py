"""Teams nest, and never in a circle."""

from datetime import UTC, datetime

import pytest

from tenants.actors import PLATFORM
from tenants.errors import NotFound, TeamCycle, TeamNameTaken
from tenants.models import AuditEvent, Organization
from tenants.scope import organization_scope
from tenants.services.teams import change_team, create_team
from tests.factories.tenants import make_team

pytestmark = pytest.mark.django_db
NOW = datetime(2026, 11, 21, 8, 0, tzinfo=UTC)


def test_a_team_is_made_inside_another(alpha: Organization) -> None:
    with organization_scope(alpha.id):
        plant = create_team(organization_id=alpha.id, name="Plant", actor=PLATFORM, now=NOW)
        line = create_team(organization_id=alpha.id, name="Line 1", parent_id=plant.id, actor=PLATFORM, now=NOW)
        assert line.parent == plant
        assert AuditEvent.objects.filter(action="team.created").count() == 2
        with pytest.raises(TeamNameTaken):
            create_team(organization_id=alpha.id, name="Line 1", actor=PLATFORM, now=NOW)


def test_a_team_cannot_be_inside_itself(alpha: Organization) -> None:
    plant = make_team(alpha, "Plant")
    hall = make_team(alpha, "Hall", parent=plant)
    line = make_team(alpha, "Line", parent=hall)
    with organization_scope(alpha.id):
        for target in (plant, hall, line):
            with pytest.raises(TeamCycle):
                change_team(team_id=plant.id, name="Plant", parent_id=target.id, actor=PLATFORM, now=NOW)
        change_team(team_id=line.id, name="Line 2", parent_id=plant.id, actor=PLATFORM, now=NOW)
        with pytest.raises(TeamNameTaken):
            change_team(team_id=line.id, name="Hall", parent_id=plant.id, actor=PLATFORM, now=NOW)
        line.refresh_from_db()
        event = AuditEvent.objects.get()
    assert (line.name, line.parent_id) == ("Line 2", plant.id)
    assert event.before == {"name": "Line", "parent": "Hall"}


def test_another_organization_s_team_is_no_parent(alpha: Organization, beta: Organization) -> None:
    ours, theirs = make_team(alpha), make_team(beta)
    with organization_scope(alpha.id):
        with pytest.raises(NotFound):
            create_team(organization_id=alpha.id, name="Line", parent_id=theirs.id, actor=PLATFORM, now=NOW)
        with pytest.raises(NotFound):
            change_team(team_id=ours.id, name="Line", parent_id=theirs.id, actor=PLATFORM, now=NOW)
        with pytest.raises(NotFound):
            change_team(team_id=theirs.id, name="Line", parent_id=None, actor=PLATFORM, now=NOW)
