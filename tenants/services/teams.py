"""Teams, and how they nest. Every function needs the organization's scope."""

from __future__ import annotations

import uuid
from datetime import datetime

from django.db import IntegrityError, transaction
from psycopg.errors import RestrictViolation

from tenants.actors import Actor
from tenants.errors import NotFound, TeamCycle, TeamNameTaken, TeamStays
from tenants.models import Team
from tenants.services import audit


def create_team(
    *, organization_id: uuid.UUID, name: str, parent_id: uuid.UUID | None = None, actor: Actor, now: datetime
) -> Team:
    """Create a team, inside another if `parent_id` is given. Raises `TeamNameTaken`, and `NotFound` for the parent."""
    if parent_id is not None and not Team.objects.filter(id=parent_id).exists():
        raise NotFound
    try:
        with transaction.atomic():
            team = Team.objects.create(organization_id=organization_id, name=name, parent_id=parent_id, created_at=now)
    except IntegrityError as error:
        raise TeamNameTaken from error
    audit.record(
        organization_id=organization_id,
        actor=actor,
        action="team.created",
        target_kind="team",
        target_id=team.id,
        after=_facts(team),
        now=now,
    )
    return team


def change_team(*, team_id: uuid.UUID, name: str, parent_id: uuid.UUID | None, actor: Actor, now: datetime) -> Team:
    """Rename a team and put it inside another one, or inside none.

    Locks all of the organization's teams in primary-key order, so that two moves cannot close a circle together.
    A team that has a pool of Tokens stays where it is; the database says so.
    Raises `NotFound`, `TeamCycle`, `TeamNameTaken` and `TeamStays`.
    """
    with transaction.atomic():
        teams = {team.id: team for team in Team.objects.select_for_update().order_by("id")}
        team = teams.get(team_id)
        if team is None or (parent_id is not None and parent_id not in teams):
            raise NotFound
        ancestor = parent_id
        while ancestor is not None:
            if ancestor == team_id:
                raise TeamCycle
            ancestor = teams[ancestor].parent_id
        before = _facts(team)
        team.name, team.parent_id = name, parent_id
        after = _facts(team)
        if after == before:
            return team
        try:
            with transaction.atomic():
                team.save(update_fields=["name", "parent"])
        except IntegrityError as error:
            if isinstance(error.__cause__, RestrictViolation):
                raise TeamStays from error
            raise TeamNameTaken from error
        audit.record(
            organization_id=team.organization_id,
            actor=actor,
            action="team.changed",
            target_kind="team",
            target_id=team.id,
            before=before,
            after=after,
            now=now,
        )
    return team


def _facts(team: Team) -> dict[str, str | None]:
    return {"name": team.name, "parent": team.parent.name if team.parent else None}
