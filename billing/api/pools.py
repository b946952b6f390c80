"""`/v1/teams/{id}/...` and their like for sub-tokens: Tokens down, up and sideways, ceilings, and a project's end."""

from __future__ import annotations

import uuid
from typing import Any

from django.utils import timezone
from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from billing.api.accounts import answer_of
from billing.api.fields import tokens_number
from billing.api.problems import BillingView, invalid
from billing.api.serializers import AllocateRequest, ReclaimRequest
from billing.api.splitting_serializers import (
    AccountNode,
    CeilingRequest,
    EndAnswer,
    EndRequest,
    MovedAnswer,
    MoveSubTokenRequest,
    MoveTeamRequest,
    PoolRequest,
    TakenAnswer,
)
from billing.enums import SubTokenMode
from billing.errors import AccountUnknown, SubTokenUnknown
from billing.queries.pools import pool_of
from billing.services import splitting
from billing.services.pools import find_pool, open_pool
from billing.services.sub_tokens import find_sub_token
from billing.services.subtrees import reclaim_all
from tenants.api.management import management_credential, permitted
from tenants.api.problems import Problem
from tenants.api.schema import IDEMPOTENCY_KEY, WRITING, problems
from tenants.errors import NotFound
from tenants.models import Team
from tenants.permissions import Permission


class TeamPoolView(BillingView):
    """Opening a pool."""

    @extend_schema(
        operation_id="open_team_pool",
        summary="Open a team's pool",
        request=PoolRequest,
        parameters=[IDEMPOTENCY_KEY],
        responses={201: AccountNode, **problems(*WRITING, 404, 429)},
    )
    @permitted(Permission.BILLING_MANAGE)
    def post(self, request: Request, team_id: uuid.UUID) -> Response:
        """Open the pool of a team that has none: with Tokens of its own, or drawing on its parent up to a ceiling.

        It hangs below the pool of the team that this one is inside of, which is opened as well, or below the wallet.
        409 `conflict` when the team has a pool. Scope `billing.manage`.
        """
        body = PoolRequest(data=request.data)
        body.is_valid(raise_exception=True)
        if not Team.objects.filter(id=team_id).exists():
            raise NotFound
        if pool_of(team_id) is not None:
            raise Problem("conflict", "This team has a pool already.")
        values = body.validated_data
        pool = open_pool(
            team_id=team_id,
            mode=SubTokenMode(values["mode"]),
            mtok=values.get("tokens"),
            actor=management_credential(request).actor,
            now=timezone.now(),
        )
        return Response(answer_of(request, pool.id), status=201)


class TeamAllocateView(BillingView):
    """Giving more."""

    @extend_schema(
        operation_id="allocate_to_team",
        summary="Give a team's pool more Tokens, or a higher ceiling",
        request=AllocateRequest,
        parameters=[IDEMPOTENCY_KEY],
        responses={200: AccountNode, **problems(*WRITING, 404, 429)},
    )
    @permitted(Permission.BILLING_MANAGE)
    def post(self, request: Request, team_id: uuid.UUID) -> Response:
        """Move `tokens` down from what the pool hangs below, or raise its ceiling by as much.

        Scope `billing.manage`.
        """
        body = AllocateRequest(data=request.data)
        body.is_valid(raise_exception=True)
        pool = splitting.give(
            account_id=find_pool(team_id).id,
            mtok=body.validated_data["tokens"],
            actor=management_credential(request).actor,
            now=timezone.now(),
        )
        return Response(answer_of(request, pool.id))


class TeamReclaimView(BillingView):
    """Taking back."""

    @extend_schema(
        operation_id="reclaim_from_team",
        summary="Take a pool's free Tokens, or ceiling, back",
        request=ReclaimRequest,
        parameters=[IDEMPOTENCY_KEY],
        responses={200: TakenAnswer, **problems(*WRITING, 404, 429)},
    )
    @permitted(Permission.BILLING_MANAGE)
    def post(self, request: Request, team_id: uuid.UUID) -> Response:
        """Move `tokens`, or all that the pool itself has free, to where they came from, with their original expiry.

        What it gave on to others stays there: see `reclaim_all`. Scope `billing.manage`.
        """
        body = ReclaimRequest(data=request.data)
        body.is_valid(raise_exception=True)
        pool = find_pool(team_id)
        taken = splitting.take(
            account_id=pool.id,
            mtok=body.validated_data.get("tokens"),
            actor=management_credential(request).actor,
            now=timezone.now(),
        )
        return Response({**answer_of(request, pool.id), "reclaimed_tokens": tokens_number(taken)})


class TeamReclaimAllView(BillingView):
    """A project's end."""

    @extend_schema(
        operation_id="reclaim_all_from_team",
        summary="Take everything back from a team and all that is below it",
        request=EndRequest,
        examples=[
            OpenApiExample(
                "The project is over", value={"revoke": True, "reason": "Line 3 is dismantled"}, request_only=True
            )
        ],
        parameters=[IDEMPOTENCY_KEY],
        responses={200: EndAnswer, **problems(*WRITING, 404)},
    )
    @permitted(Permission.BILLING_MANAGE)
    def post(self, request: Request, team_id: uuid.UUID) -> Response:
        """Move all that is free in the pool, its teams' pools and its sub-tokens back at once, with its expiry.

        What running calls hold stays and is charged or can be taken back later. Ceilings below are lowered to what was
        drawn. With `revoke`, the sub-tokens end for good, which needs the scope `sub_tokens.manage` too. Scope
        `billing.manage`.
        """
        body = EndRequest(data=request.data)
        body.is_valid(raise_exception=True)
        credential = management_credential(request)
        if body.validated_data["revoke"]:
            credential.require(Permission.SUB_TOKENS_MANAGE)
        ending = reclaim_all(
            account_id=find_pool(team_id).id, actor=credential.actor, now=timezone.now(), **body.validated_data
        )
        revoked = [sub_token.id for sub_token in ending.revoked]
        answer = {name: getattr(ending, name) for name in ("reclaimed_mtok", "accounts", "held_mtok")}
        return Response(EndAnswer({**answer, "revoked_sub_tokens": revoked}).data)


class TeamCeilingView(BillingView):
    """The ceiling of a capped pool."""

    @extend_schema(
        operation_id="change_team_ceiling",
        summary="Set how much a capped pool may draw in all",
        request=CeilingRequest,
        parameters=[IDEMPOTENCY_KEY],
        responses={200: AccountNode, **problems(*WRITING, 404)},
    )
    @permitted(Permission.BILLING_MANAGE)
    def post(self, request: Request, team_id: uuid.UUID) -> Response:
        """Set the ceiling, counting what was drawn so far; null takes it away.

        409 `conflict` when more was drawn, or the pool has Tokens of its own. Scope `billing.manage`.
        """
        return _set_ceiling(request, find_pool(team_id).id)


class SubTokenCeilingView(BillingView):
    """The quota of a capped sub-token."""

    @extend_schema(
        operation_id="change_sub_token_ceiling",
        summary="Set how much a capped sub-token may draw in all",
        request=CeilingRequest,
        parameters=[IDEMPOTENCY_KEY],
        responses={200: AccountNode, **problems(*WRITING, 404)},
    )
    @permitted(Permission.SUB_TOKENS_MANAGE)
    def post(self, request: Request, sub_token_id: uuid.UUID) -> Response:
        """Set its quota, counting what was drawn so far; null takes it away.

        409 `conflict` when more was drawn, or it has Tokens of its own. Scope `sub_tokens.manage`.
        """
        return _set_ceiling(request, find_sub_token(sub_token_id).account_id)


class TeamMoveView(BillingView):
    """Sideways, from pool to pool."""

    @extend_schema(
        operation_id="move_team_tokens",
        summary="Move Tokens, or ceiling, from a pool to its sibling",
        request=MoveTeamRequest,
        parameters=[IDEMPOTENCY_KEY],
        responses={200: MovedAnswer, **problems(*WRITING, 404, 429)},
    )
    @permitted(Permission.BILLING_MANAGE)
    def post(self, request: Request, team_id: uuid.UUID) -> Response:
        """Move `tokens`, or all that are free, to the pool of another team below the same parent, expiry kept.

        Between two capped pools it is their ceilings that change. Scope `billing.manage`.
        """
        body = MoveTeamRequest(data=request.data)
        body.is_valid(raise_exception=True)
        source = find_pool(team_id)
        try:
            target = find_pool(body.validated_data["to"])
        except AccountUnknown:
            raise invalid("to", "There is no such team.") from None
        return _move(request, source.id, target.id, body.validated_data.get("tokens"))


class SubTokenMoveView(BillingView):
    """Sideways, from sub-token to sub-token."""

    @extend_schema(
        operation_id="move_sub_token_tokens",
        summary="Move Tokens, or quota, from a sub-token to its sibling",
        request=MoveSubTokenRequest,
        parameters=[IDEMPOTENCY_KEY],
        responses={200: MovedAnswer, **problems(*WRITING, 404, 429)},
    )
    @permitted(Permission.SUB_TOKENS_MANAGE)
    def post(self, request: Request, sub_token_id: uuid.UUID) -> Response:
        """Move `tokens`, or all that are free, to another sub-token below the same parent, expiry kept.

        Also out of a revoked or expired one. Between two capped ones it is their quotas that change. Scope
        `sub_tokens.manage`.
        """
        body = MoveSubTokenRequest(data=request.data)
        body.is_valid(raise_exception=True)
        source = find_sub_token(sub_token_id)
        try:
            target = find_sub_token(body.validated_data["to"])
        except SubTokenUnknown:
            raise invalid("to", "There is no such sub-token.") from None
        return _move(request, source.account_id, target.account_id, body.validated_data.get("tokens"))


def _set_ceiling(request: Request, account_id: uuid.UUID) -> Response:
    body = CeilingRequest(data=request.data)
    body.is_valid(raise_exception=True)
    splitting.change_ceiling(
        account_id=account_id,
        mtok=body.validated_data["tokens"],
        actor=management_credential(request).actor,
        now=timezone.now(),
    )
    return Response(answer_of(request, account_id))


def _move(request: Request, from_id: uuid.UUID, to_id: uuid.UUID, mtok: int | None) -> Response:
    moved = splitting.move(
        from_id=from_id, to_id=to_id, mtok=mtok, actor=management_credential(request).actor, now=timezone.now()
    )
    answer: dict[str, Any] = {"source": answer_of(request, from_id), "target": answer_of(request, to_id)}
    return Response({"moved_tokens": tokens_number(moved), **answer})
