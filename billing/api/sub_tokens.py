"""`/v1/sub_tokens`: making, listing, changing, filling and emptying sub-tokens."""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import Any

from django.utils import timezone
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from billing.api.fields import tokens_number
from billing.api.problems import BillingView, invalid
from billing.api.serializers import (
    AllocateRequest,
    NewSubTokenAnswer,
    ReclaimAnswer,
    ReclaimRequest,
    SubTokenAnswer,
    SubTokenChange,
    SubTokenRequest,
)
from billing.enums import SubTokenMode, SubTokenStatus
from billing.models import SubToken
from billing.queries.sub_tokens import ORDERS, SubTokenSearch, search_sub_tokens, state, states
from billing.services import sub_token_life as life
from billing.services import sub_tokens as services
from tenants.api.management import management_credential, permitted
from tenants.api.pagination import PAGE_PARAMETERS, paginate
from tenants.api.schema import IDEMPOTENCY_KEY, READING, WRITING, page_of, problems
from tenants.permissions import Permission
from tenants.queries.pages import Order

EXAMPLE = OpenApiExample(
    "A camera's sub-token",
    value={
        "name": "Line 1",
        "mode": "allocated",
        "tokens": 50,
        "expires_in_days": 30,
        "requests_per_second": None,
        "concurrency": None,
        "models": [],
        "tasks": [],
        "ip_allow_list": ["203.0.113.0/24"],
        "on_exhausted": "reject",
        "tags": {"site": "Ulm"},
    },
    request_only=True,
)


class SubTokenListView(BillingView):
    """All sub-tokens, and making one."""

    @extend_schema(
        operation_id="sub_tokens",
        summary="List sub-tokens",
        parameters=[
            *PAGE_PARAMETERS,
            OpenApiParameter("team", OpenApiTypes.UUID, description="of this team only"),
            OpenApiParameter("status", enum=SubTokenStatus.values, description="only those that are this now"),
            OpenApiParameter("q", description="in the name, or how the secret begins"),
            OpenApiParameter("tag", description="only those with this tag, as `site=Ulm`"),
            OpenApiParameter("sort", enum=list(ORDERS), description="`-created_at`, the newest first, if unsaid"),
        ],
        responses={200: page_of("SubTokenPage", SubTokenAnswer), **problems(*READING, 422)},
    )
    @permitted(Permission.SUB_TOKENS_VIEW)
    def get(self, request: Request) -> Response:
        """List sub-tokens with what they have; revoked and expired ones too. Scope `sub_tokens.view`."""
        now = timezone.now()
        page = paginate(request, search_sub_tokens(_search(request), now=now), _order(request))
        found = states(page.rows, now=now)
        return Response(page.answer(SubTokenAnswer(found, many=True).data))

    @extend_schema(
        operation_id="create_sub_token",
        summary="Make a sub-token",
        request=SubTokenRequest,
        examples=[EXAMPLE],
        parameters=[IDEMPOTENCY_KEY],
        responses={201: NewSubTokenAnswer, **problems(*WRITING, 429)},
    )
    @permitted(Permission.SUB_TOKENS_MANAGE)
    def post(self, request: Request) -> Response:
        """Make a sub-token, with Tokens moved to it or with a quota. Scope `sub_tokens.manage`.

        The secret is in this answer and nowhere else. It lives 30 days unless said otherwise. 429
        `insufficient_tokens` or `quota_exceeded` when the wallet or the team's pool has less than `tokens`.
        """
        body = SubTokenRequest(data=request.data)
        body.is_valid(raise_exception=True)
        values, now = body.validated_data, timezone.now()
        credential = management_credential(request)
        issued = services.create_sub_token(
            organization_id=credential.organization_id,
            name=values["name"],
            mode=SubTokenMode(values["mode"]),
            mtok=values.get("tokens"),
            team_id=values.get("team"),
            expires_at=body.expiry(now),
            policy=body.policy(),
            actor=credential.actor,
            now=now,
        )
        return Response({**answer_of(issued.sub_token, now), "secret": issued.secret}, status=201)


class SubTokenView(BillingView):
    """One sub-token."""

    @extend_schema(
        operation_id="sub_token",
        summary="Show a sub-token",
        responses={200: SubTokenAnswer, **problems(*READING, 404)},
    )
    @permitted(Permission.SUB_TOKENS_VIEW)
    def get(self, request: Request, sub_token_id: uuid.UUID) -> Response:
        """Show a sub-token, its policy and what it has; never its secret. Scope `sub_tokens.view`."""
        return Response(answer_of(services.find_sub_token(sub_token_id), timezone.now()))

    @extend_schema(
        operation_id="change_sub_token",
        summary="Change a sub-token's name, expiry, policy or tags",
        request=SubTokenChange,
        examples=[
            OpenApiExample(
                "Another month, from the factory's network only",
                value={"expires_in_days": 30, "ip_allow_list": ["203.0.113.0/24"]},
                request_only=True,
            )
        ],
        responses={200: SubTokenAnswer, **problems(*WRITING, 404)},
    )
    @permitted(Permission.SUB_TOKENS_MANAGE)
    def patch(self, request: Request, sub_token_id: uuid.UUID) -> Response:
        """Change the members that are sent; calls go by them within one second, everywhere.

        Its team and mode stay: make another one there instead. Its Tokens and quota are changed by allocate and
        reclaim. 409 `conflict` when it is revoked; an expired one can be extended. Scope `sub_tokens.manage`.
        """
        body = SubTokenChange(data=request.data, partial=True)
        body.is_valid(raise_exception=True)
        now = timezone.now()
        sub_token, _ = life.change_sub_token(
            sub_token_id=sub_token_id, changes=body.changes(now), actor=management_credential(request).actor, now=now
        )
        return Response(answer_of(sub_token, now))


class AllocateView(BillingView):
    """Giving more."""

    @extend_schema(
        operation_id="allocate_to_sub_token",
        summary="Give a sub-token more Tokens, or a higher quota",
        request=AllocateRequest,
        parameters=[IDEMPOTENCY_KEY],
        responses={200: SubTokenAnswer, **problems(*WRITING, 404, 429)},
    )
    @permitted(Permission.SUB_TOKENS_MANAGE)
    def post(self, request: Request, sub_token_id: uuid.UUID) -> Response:
        """Move `tokens` from the wallet or the team's pool to the sub-token, or raise its quota by so much.

        409 `conflict` when it is revoked, expired, or capped without a quota. Scope `sub_tokens.manage`.
        """
        body = AllocateRequest(data=request.data)
        body.is_valid(raise_exception=True)
        now = timezone.now()
        sub_token = services.allocate_to_sub_token(
            sub_token_id=sub_token_id,
            mtok=body.validated_data["tokens"],
            actor=management_credential(request).actor,
            now=now,
        )
        return Response(answer_of(sub_token, now))


class ReclaimView(BillingView):
    """Taking back."""

    @extend_schema(
        operation_id="reclaim_from_sub_token",
        summary="Take a sub-token's free Tokens, or quota, back",
        request=ReclaimRequest,
        parameters=[IDEMPOTENCY_KEY],
        responses={200: ReclaimAnswer, **problems(*WRITING, 404, 429)},
    )
    @permitted(Permission.SUB_TOKENS_MANAGE)
    def post(self, request: Request, sub_token_id: uuid.UUID) -> Response:
        """Take `tokens` back, or all that are free: to where they came from, with their original expiry.

        What running calls hold stays. Works on revoked and expired sub-tokens too. Scope `sub_tokens.manage`.
        """
        body = ReclaimRequest(data=request.data)
        body.is_valid(raise_exception=True)
        now = timezone.now()
        sub_token, mtok = services.reclaim_from_sub_token(
            sub_token_id=sub_token_id,
            mtok=body.validated_data.get("tokens"),
            actor=management_credential(request).actor,
            now=now,
        )
        return Response({**answer_of(sub_token, now), "reclaimed_tokens": tokens_number(mtok)})


def answer_of(sub_token: SubToken, now: datetime) -> dict[str, Any]:
    """Return the body that shows a sub-token."""
    return SubTokenAnswer(state(sub_token, now=now)).data


def _search(request: Request) -> SubTokenSearch:
    asked = request.query_params
    status, tag = asked.get("status", ""), asked.get("tag")
    if status and status not in SubTokenStatus.values:
        raise invalid("status", f"This must be one of {', '.join(SubTokenStatus.values)}.")
    if tag is not None and "=" not in tag:
        raise invalid("tag", "This must be a tag's name and value, as site=Ulm.")
    text = asked.get("q", "")
    if "\0" in text + (tag or ""):
        raise invalid("q", "This must be text.")
    name, _, value = (tag or "").partition("=")
    return SubTokenSearch(text=text, status=status, team_id=_team(request), tag=(name, value) if tag else None)


def _order(request: Request) -> Order:
    wanted = request.query_params.get("sort", "-created_at")
    if wanted not in ORDERS:
        raise invalid("sort", f"This must be one of {', '.join(ORDERS)}.")
    return ORDERS[wanted]


def _team(request: Request) -> uuid.UUID | None:
    text = request.query_params.get("team")
    if text is None:
        return None
    try:
        return uuid.UUID(text)
    except ValueError:
        raise invalid("team", "This must be the id of a team.") from None
