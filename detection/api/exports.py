"""`GET /v1/jobs/export`: every call of a search as one CSV stream."""

from __future__ import annotations

import uuid
from functools import partial
from typing import Any

from django.db.models import QuerySet
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework.request import Request

from billing.api.authentication import SubTokenAuthentication
from detection.api import schema
from detection.api.jobs import STATUSES, invalid
from detection.api.owner import owner_of
from detection.models import Job
from detection.queries.exports import call_rows
from detection.queries.jobs import jobs
from tenants.api.authentication import ManagementKeyAuthentication
from tenants.api.negotiation import AnyFormat
from tenants.api.times import read_moment
from tenants.api.views import ApiView
from tenants.permissions import Permission
from tenants.views.downloads import csv_response


class CallExportView(ApiView):
    """All calls as one stream."""

    authentication_classes = [SubTokenAuthentication, ManagementKeyAuthentication]
    content_negotiation_class = AnyFormat

    @extend_schema(
        operation_id="jobs_export",
        summary="Stream calls as CSV, newest first",
        parameters=[
            OpenApiParameter("status", OpenApiTypes.STR, enum=STATUSES),
            OpenApiParameter("model", OpenApiTypes.STR),
            OpenApiParameter("sub_token", OpenApiTypes.UUID),
            OpenApiParameter("from", OpenApiTypes.STR, description="date or time, included"),
            OpenApiParameter("to", OpenApiTypes.STR, description="date or time, not included"),
        ],
        responses={
            (200, "text/csv"): OpenApiResponse(OpenApiTypes.STR, description="A heading, and a line for each call."),
            **schema.problems(401, 403, 422),
        },
    )
    def get(self, request: Request) -> Any:
        """Stream every call of a search as CSV, however many: a million need no more memory than a thousand.

        Texts that a spreadsheet would take for formulas are marked with an apostrophe. A sub-token gets its own calls;
        a management key (scope `calls.view`) its organization's. A call that ends while the stream runs may be in it
        as it was before.
        """
        owner = owner_of(request, Permission.CALLS_VIEW)
        query = request.query_params
        if (status := query.get("status")) is not None and status not in STATUSES:
            raise invalid("status", f"This must be one of {', '.join(STATUSES)}.")
        find = partial(
            _find,
            sub_token_id=owner.sub_token_id or _parsed(request, "sub_token", uuid.UUID, "the id of a sub-token"),
            status=status,
            model=query.get("model"),
            since=_parsed(request, "from", read_moment, "a date or a time"),
            until=_parsed(request, "to", read_moment, "a date or a time"),
        )
        return csv_response("calls.csv", call_rows(owner.organization_id, find))


def _find(*, since: Any, until: Any, **criteria: Any) -> QuerySet[Job]:
    found = jobs(**criteria)
    if since is not None:
        found = found.filter(created_at__gte=since)
    if until is not None:
        found = found.filter(created_at__lt=until)
    return found


def _parsed(request: Request, name: str, parse: Any, what: str) -> Any:
    text = request.query_params.get(name)
    try:
        return parse(text) if text else None
    except ValueError:
        raise invalid(name, f"This must be {what}.") from None
