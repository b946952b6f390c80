"""`GET /v1/usage`."""

from __future__ import annotations

import datetime as dt
from functools import partial
from typing import Any

from django.http import HttpResponse
from django.utils import timezone
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.request import Request

from billing.api.authentication import SubTokenAuthentication
from detection.api import schema
from detection.api.detect import json_response
from detection.api.owner import owner_of
from detection.queries.usage import DIMENSIONS, UsageRow, usage
from detection.services import answers
from tenants.api.authentication import ManagementKeyAuthentication
from tenants.api.problems import Problem
from tenants.api.times import read_moment
from tenants.api.views import ApiView
from tenants.permissions import Permission
from tenants.scope import organization_scope

DEFAULT_DAYS, LONGEST_DAYS = 30, 400


class UsageView(ApiView):
    """Sums up usage."""

    authentication_classes = [SubTokenAuthentication, ManagementKeyAuthentication]

    @extend_schema(
        operation_id="usage",
        summary="Sum up calls and Tokens",
        parameters=[
            OpenApiParameter("from", OpenApiTypes.STR, description="date or time, included; 30 days ago if unsaid"),
            OpenApiParameter("to", OpenApiTypes.STR, description="date or time, not included; now if unsaid"),
            OpenApiParameter(
                "group_by", OpenApiTypes.STR, description="any of team, sub_token, model, day, tag; commas"
            ),
        ],
        responses={200: schema.UsageReport, **schema.problems(401, 403, 422)},
    )
    def get(self, request: Request) -> HttpResponse:
        """Sum up calls and what they cost, by any of team, sub-token, model, day (UTC) and tag. Costs nothing.

        A sub-token sees its own; a management key (scope `calls.view`) its organization's. Grouped by `tag`, a call
        counts once for each of its tags, so the rows may add up to more than the total.
        """
        owner = owner_of(request, Permission.CALLS_VIEW)
        group_by = _dimensions(request.query_params.get("group_by", ""))
        until = _moment(request, "to") or timezone.now()
        since = _moment(request, "from") or until - dt.timedelta(days=DEFAULT_DAYS)
        if not since < until <= since + dt.timedelta(days=LONGEST_DAYS):
            raise _invalid("from", f"This must be before 'to', by at most {LONGEST_DAYS} days.")
        calls = partial(usage, owner.organization_id, since=since, until=until, sub_token_id=owner.sub_token_id)
        with organization_scope(owner.organization_id):
            rows = calls(group_by=group_by)
            (total,) = calls() if group_by else rows
        return json_response(
            {
                "from": answers.time_text(since),
                "to": answers.time_text(until),
                "group_by": group_by,
                "data": [_shape(row) for row in rows],
                "total": _shape(total),
            }
        )


def _shape(row: UsageRow) -> dict[str, Any]:
    return {
        **row.group,
        "calls": row.calls,
        "succeeded": row.succeeded,
        "failed": row.failed,
        "cached": row.cached,
        "tokens": answers.tokens(row.charged_mtok),
    }


def _dimensions(text: str) -> list[str]:
    names = [name.strip() for name in text.split(",") if name.strip()]
    if len(set(names)) != len(names) or not set(names) <= set(DIMENSIONS):
        raise _invalid("group_by", f"This must be some of {', '.join(DIMENSIONS)}, each once, with commas between.")
    return names


def _moment(request: Request, name: str) -> dt.datetime | None:
    text = request.query_params.get(name)
    if not text:
        return None
    try:
        return read_moment(text)
    except ValueError:
        raise _invalid(name, "This must be a date (2026-11-21) or a time (2026-11-21T08:00:00Z).") from None


def _invalid(name: str, message: str) -> Problem:
    return Problem(
        "validation_error", f"{name} is not valid.", errors={name: [{"message": message, "code": "invalid"}]}
    )
