"""`/v1/teams`: teams and their pools."""

from __future__ import annotations

import uuid
from typing import Any

from django.utils import timezone
from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from billing.api.problems import BillingView, invalid
from billing.api.serializers import TeamAnswer, TeamChange, TeamRequest
from billing.enums import AccountMode, SubTokenMode
from billing.models import Account
from billing.queries.balances import Balance, balances
from billing.queries.pools import pool_of as pool_of_team
from billing.queries.pools import pools
from billing.services.pools import open_pool
from tenants.api.management import management_credential, permitted
from tenants.api.pagination import PAGE_PARAMETERS, paginate
from tenants.api.schema import IDEMPOTENCY_KEY, READING, WRITING, page_of, problems
from tenants.errors import NotFound
from tenants.models import Team
from tenants.permissions import Permission
from tenants.services.teams import change_team, create_team


class TeamListView(BillingView):
    """All teams, and making one."""

    @extend_schema(
        operation_id="teams",
        summary="List teams and their pools, newest first",
        parameters=PAGE_PARAMETERS,
        responses={200: page_of("TeamPage", TeamAnswer), **problems(*READING, 422)},
    )
    @permitted(Permission.ORGANIZATION_VIEW)
    def get(self, request: Request) -> Response:
        """List teams with what their pools have, newest first. Scope `organization.view`."""
        page = paginate(request, Team.objects.all())
        pool_of = pools()
        balance_of = balances(pool.id for pool in pool_of.values())
        answers = [_answer(team, pool_of.get(team.id), balance_of) for team in page.rows]
        return Response(page.answer(answers))

    @extend_schema(
        operation_id="create_team",
        summary="Make a team and its pool",
        request=TeamRequest,
        parameters=[IDEMPOTENCY_KEY],
        responses={201: TeamAnswer, **problems(*WRITING, 429)},
    )
    @permitted(Permission.TEAMS_MANAGE)
    def post(self, request: Request) -> Response:
        """Make a team whose pool draws on its parent, up to a quota if given, or has Tokens of its own.

        409 `conflict` when a team has this name. Scope `teams.manage`.
        """
        body = TeamRequest(data=request.data)
        body.is_valid(raise_exception=True)
        values, now = body.validated_data, timezone.now()
        credential = management_credential(request)
        try:
            team = create_team(
                organization_id=credential.organization_id,
                name=values["name"],
                parent_id=values.get("parent"),
                actor=credential.actor,
                now=now,
            )
        except NotFound:
            raise invalid("parent", "There is no such team.") from None
        pool = open_pool(
            team_id=team.id,
            mode=SubTokenMode(values["mode"]),
            mtok=values.get("tokens"),
            actor=credential.actor,
            now=now,
        )
        return Response(_answer(team, pool, balances([pool.id], now=now)), status=201)


class TeamView(BillingView):
    """One team."""

    @extend_schema(
        operation_id="team",
        summary="Show a team and its pool",
        responses={200: TeamAnswer, **problems(*READING, 404)},
    )
    @permitted(Permission.ORGANIZATION_VIEW)
    def get(self, request: Request, team_id: uuid.UUID) -> Response:
        """Show a team and what its pool has. Scope `organization.view`."""
        return Response(_shown(_find(team_id)))

    @extend_schema(
        operation_id="change_team",
        summary="Rename a team, or put it inside another one",
        request=TeamChange,
        examples=[OpenApiExample("Another name", value={"name": "Hall 2"}, request_only=True)],
        responses={200: TeamAnswer, **problems(*WRITING, 404)},
    )
    @permitted(Permission.TEAMS_MANAGE)
    def patch(self, request: Request, team_id: uuid.UUID) -> Response:
        """Change the members that are sent. 409 `conflict` when another team has the name, or its pool keeps it here.

        Scope `teams.manage`.
        """
        body = TeamChange(data=request.data, partial=True)
        body.is_valid(raise_exception=True)
        values, present = body.validated_data, _find(team_id)
        parent_id = values.get("parent", present.parent_id)
        if parent_id is not None and not Team.objects.filter(id=parent_id).exists():
            raise invalid("parent", "There is no such team.")
        team = change_team(
            team_id=team_id,
            name=values.get("name", present.name),
            parent_id=parent_id,
            actor=management_credential(request).actor,
            now=timezone.now(),
        )
        return Response(_shown(team))


def _find(team_id: uuid.UUID) -> Team:
    team = Team.objects.filter(id=team_id).first()
    if team is None:
        raise NotFound
    return team


def _shown(team: Team) -> dict[str, Any]:
    pool = pool_of_team(team.id)
    return _answer(team, pool, balances([pool.id]) if pool else {})


def _answer(team: Team, pool: Account | None, balance_of: dict[Any, Balance]) -> dict[str, Any]:
    shown = None
    if pool is not None:
        balance = balance_of[pool.id]
        shown = {
            "mode": SubTokenMode.ALLOCATED if pool.mode == AccountMode.RING_FENCED else SubTokenMode.CAPPED,
            "quota_tokens": balance.cap_mtok,
            "remaining_tokens": balance.available_mtok,
            "held_tokens": balance.held_mtok,
        }
    return TeamAnswer(
        {"id": team.id, "name": team.name, "parent": team.parent_id, "pool": shown, "created_at": team.created_at}
    ).data
