"""`/v1/jobs`: what became of calls, and taking one back."""

from __future__ import annotations

import uuid
from typing import Any

from django.http import HttpResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.request import Request

from billing.api.authentication import SubTokenAuthentication
from detection.api import schema
from detection.api.detect import json_response
from detection.api.owner import Owner, owner_of
from detection.queries.jobs import find_job, jobs
from detection.services import answers
from detection.services.jobs import cancel
from detection.services.run import with_remaining
from tenants.api.authentication import ManagementKeyAuthentication
from tenants.api.pagination import PAGE_PARAMETERS, paginate
from tenants.api.problems import Problem
from tenants.api.views import ApiView
from tenants.permissions import Permission
from tenants.queries.pages import TooMuchToRead, no_longer_than
from tenants.scope import organization_scope

LOOKED_FOR_SECONDS = 5.0
STATUSES = ("waiting", "queued", "running", "succeeded", "failed", "cancelled")


class JobListView(ApiView):
    """Lists jobs."""

    authentication_classes = [SubTokenAuthentication, ManagementKeyAuthentication]

    @extend_schema(
        operation_id="jobs",
        summary="List calls, newest first",
        parameters=[
            *PAGE_PARAMETERS,
            OpenApiParameter("status", OpenApiTypes.STR, enum=STATUSES),
            OpenApiParameter("model", OpenApiTypes.STR),
        ],
        responses={200: schema.JobPage, **schema.problems(401, 403, 422)},
    )
    def get(self, request: Request) -> HttpResponse:
        """List calls, newest first. Costs nothing.

        A sub-token sees its own; a management key (scope `calls.view`) its organization's.
        """
        owner = owner_of(request, Permission.CALLS_VIEW)
        query = request.query_params
        status = query.get("status")
        if status is not None and status not in STATUSES:
            raise invalid("status", f"This must be one of {', '.join(STATUSES)}.")
        found = jobs(sub_token_id=owner.sub_token_id, status=status, model=query.get("model"))
        try:
            with organization_scope(owner.organization_id), no_longer_than(LOOKED_FOR_SECONDS):
                page = paginate(request, found)
        except TooMuchToRead:
            message = "What fits is rare among so many calls; /v1/jobs/export finds it between `from` and `to`."
            raise invalid("model" if status is None else "status", message) from None
        return json_response(page.answer([answers.document(job) for job in page.rows]))


class JobView(ApiView):
    """Shows a job."""

    authentication_classes = [SubTokenAuthentication, ManagementKeyAuthentication]

    @extend_schema(
        operation_id="job", summary="Show one call", responses={200: schema.Job, **schema.problems(401, 403, 404)}
    )
    def get(self, request: Request, job_id: uuid.UUID) -> HttpResponse:
        """Show one call: its state, and its result once it has succeeded. Costs nothing.

        Another sub-token's job, and another organization's, is `not_found`, the same as one that never was.
        """
        owner = owner_of(request, Permission.CALLS_VIEW)
        with organization_scope(owner.organization_id):
            document = answers.document(find_job(job_id, sub_token_id=owner.sub_token_id))
        return json_response(_with_remaining(document, owner))


class CancelView(ApiView):
    """Cancels a job."""

    authentication_classes = [SubTokenAuthentication, ManagementKeyAuthentication]

    @extend_schema(
        operation_id="cancel_job",
        summary="Take a call back that has not started",
        request=None,
        responses={200: schema.Job, **schema.problems(401, 403, 404, 409)},
    )
    def post(self, request: Request, job_id: uuid.UUID) -> HttpResponse:
        """Take a job back that waits or is queued: it costs nothing, and what was held for it can be spent again.

        A job that runs or is over stays as it is: 409 `conflict`, with its `state`. A management key needs the scope
        `sub_tokens.manage`.
        """
        owner = owner_of(request, Permission.SUB_TOKENS_MANAGE)
        document = cancel(owner.organization_id, job_id, sub_token_id=owner.sub_token_id, actor=owner.actor)
        return json_response(_with_remaining(document, owner), headers={"Tokens-Used": "0"})


def _with_remaining(document: dict[str, Any], owner: Owner) -> dict[str, Any]:
    return with_remaining(document, owner.credential) if owner.credential else document


def invalid(name: str, message: str) -> Problem:
    """Return the problem of one parameter that is not valid."""
    return Problem(
        "validation_error", f"{name} is not valid.", errors={name: [{"message": message, "code": "invalid"}]}
    )
