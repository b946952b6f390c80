"""Teams as a tree. Every function needs the organization's scope."""

from __future__ import annotations

import uuid
from dataclasses import dataclass

from django.db.models import QuerySet

from tenants.models import Team


@dataclass(frozen=True)
class TeamRow:
    """A team and the names of the teams around it, the outermost first."""

    team: Team
    inside: tuple[str, ...]


def team_rows() -> list[TeamRow]:
    """Return every team, each after the one that it is inside of, otherwise by name."""
    children: dict[uuid.UUID | None, list[Team]] = {}
    for team in Team.objects.order_by("name"):
        children.setdefault(team.parent_id, []).append(team)
    rows: list[TeamRow] = []

    def descend(parent_id: uuid.UUID | None, inside: tuple[str, ...]) -> None:
        for team in children.get(parent_id, ()):
            rows.append(TeamRow(team, inside))
            descend(team.id, (*inside, team.name))

    descend(None, ())
    return rows


def teams_outside(team: Team | None) -> QuerySet[Team]:
    """Return the teams that `team` could be put inside of: all but itself and what is inside it."""
    if team is None:
        return Team.objects.order_by("name")
    within = {team.id}
    for row in team_rows():
        if row.team.parent_id in within:
            within.add(row.team.id)
    return Team.objects.exclude(id__in=within).order_by("name")
