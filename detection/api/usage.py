"""`GET /v1/usage`."""

from __future__ import annotations

import datetime as dt
import re
import uuid
from typing import Any

from django.http import HttpResponse
from django.utils import timezone
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, extend_schema
from rest_framework.request import Request

from billing.api.authentication import SubTokenAuthentication
from detection.api import schema
from detection.api.detect import json_response
from detection.api.owner import owner_of
from detection.queries.usage import DIMENSIONS, MAX_ROWS, TAG, Narrowed, UsageRow, span, usage
from detection.services import answers
from tenants.api.authentication import ManagementKeyAuthentication
from tenants.api.problems import Problem
from tenants.api.times import read_moment
from tenants.api.views import ApiView
from tenants.permissions import Permission
from tenants.scope import organization_scope

DEFAULT_DAYS, LONGEST_DAYS, LONGEST_HOURLY_DAYS = 30, 400, 31
_TAG_DIMENSION = re.compile(re.escape(TAG) + r"[A-Za-z0-9_.:-]{1,40}", re.ASCII)

EXAMPLE = OpenApiExample(
    "By team and month",
    value={
        "from": "2026-10-01T00:00:00.000Z",
        "to": "2026-11-01T00:00:00.000Z",
        "group_by": ["team", "month"],
        "data": [
            {
                "team": {"id": "019aa3b2-7c1e-7c3a-9a55-0d5a3b6c1f10", "name": "Line 3"},
                "month": "2026-10",
                "calls": 1200,
                "succeeded": 1190,
                "failed": 10,
                "cached": 40,
                "tokens": 1150.5,
            }
        ],
        "truncated": False,
        "total": {"calls": 1200, "succeeded": 1190, "failed": 10, "cached": 40, "tokens": 1150.5},
    },
    response_only=True,
    status_codes=["200"],
)


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
                "group_by",
                OpenApiTypes.STR,
                description="any of team, sub_token, model, task, hour, day, month, tag, or tag:NAME for the values of"
                " one tag; commas between",
            ),
            OpenApiParameter("sub_token", OpenApiTypes.UUID, description="only this sub-token's"),
            OpenApiParameter("team", OpenApiTypes.UUID, description="only this team's sub-tokens'"),
            OpenApiParameter("model", OpenApiTypes.STR, description="only this model's"),
        ],
        examples=[EXAMPLE],
        responses={200: schema.UsageReport, **schema.problems(401, 403, 422)},
    )
    def get(self, request: Request) -> HttpResponse:
        """Sum up finished calls and what they cost, by any of team, sub-token, model, task, time (UTC) and tag.

        Costs nothing. A sub-token sees its own; a management key (scope `calls.view`) its organization's. The sums are
        written in the transaction that captures the Tokens, so they agree with the ledger to the thousandth. They are
        kept by the hour as long as calls are, by the day for ever: `from` and `to` in the answer are the span that was
        summed, rounded outwards to hours, or to days for older times and for tags.

        Grouped by `tag`, a call counts once for each of its tags, so the rows may add up to more than the total;
        grouped by `tag:NAME` they add up. Tags go with days and months, not with hours. At most 10,000 rows are
        returned; `truncated` says whether there were more.
        """
        owner = owner_of(request, Permission.CALLS_VIEW)
        query = request.query_params
        group_by = dimensions(query.get("group_by", ""))
        now = timezone.now()
        until = _moment(request, "to") or now
        since = _moment(request, "from") or until - dt.timedelta(days=DEFAULT_DAYS)
        if not since < until <= since + dt.timedelta(days=LONGEST_DAYS):
            raise _invalid("from", f"This must be before 'to', by at most {LONGEST_DAYS} days.")
        if "hour" in group_by and until - since > dt.timedelta(days=LONGEST_HOURLY_DAYS):
            raise _invalid("group_by", f"By the hour, ask for at most {LONGEST_HOURLY_DAYS} days at once.")
        within = span(since, until, now=now, whole_days=any(name.startswith("tag") for name in group_by))
        only = Narrowed(
            sub_token_id=owner.sub_token_id or _id(request, "sub_token"),
            team_id=_id(request, "team"),
            model=query.get("model"),
        )
        with organization_scope(owner.organization_id):
            rows = usage(owner.organization_id, within=within, group_by=group_by, only=only, limit=MAX_ROWS + 1)
            (total,) = usage(owner.organization_id, within=within, only=only) if group_by else rows
        return json_response(
            {
                "from": answers.time_text(within.since),
                "to": answers.time_text(within.until),
                "group_by": group_by,
                "data": [_shape(row) for row in rows[:MAX_ROWS]],
                "truncated": len(rows) > MAX_ROWS,
                "total": _shape(total),
            }
        )


def _shape(row: UsageRow) -> dict[str, Any]:
    return {
        **{name: _group(name, value) for name, value in row.group.items()},
        "calls": row.calls,
        "succeeded": row.succeeded,
        "failed": row.failed,
        "cached": row.cached,
        "tokens": answers.tokens(row.charged_mtok),
    }


def _group(name: str, value: Any) -> Any:
    match name:
        case "hour":
            return answers.time_text(value)
        case "month":
            return f"{value:%Y-%m}"
        case _:
            return value


def dimensions(text: str) -> list[str]:
    """Return the dimensions that a text names, with commas between. Raises Problem `validation_error`."""
    names = [name.strip() for name in text.split(",") if name.strip()]
    known = [name in DIMENSIONS or bool(_TAG_DIMENSION.fullmatch(name)) for name in names]
    if len(set(names)) != len(names) or not all(known):
        allowed = ", ".join([*DIMENSIONS, "tag:NAME"])
        raise _invalid("group_by", f"This must be some of {allowed}, each once, with commas between.")
    tags = [name for name in names if name.startswith("tag")]
    if len(tags) > 1 or (tags and "hour" in names):
        raise _invalid("group_by", "Tags go with days and months, not with hours, and one kind of tag at a time.")
    return names


def _id(request: Request, name: str) -> uuid.UUID | None:
    text = request.query_params.get(name)
    try:
        return uuid.UUID(text) if text else None
    except ValueError:
        raise _invalid(name, f"This must be the id of a {name.replace('_', '-')}.") from None


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
