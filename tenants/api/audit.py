"""`GET /v1/audit_events`: who did what, from where; as pages, as one stream, and where the chain ends."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any, TypeVar

import orjson
from django.http import StreamingHttpResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from tenants.actors import ActorKind
from tenants.api.management import ManagementView, management_credential, permitted
from tenants.api.negotiation import AnyFormat
from tenants.api.pagination import PAGE_PARAMETERS, paginate
from tenants.api.problems import Problem
from tenants.api.schema import READING, page_of, problems
from tenants.api.times import read_moment
from tenants.permissions import Permission
from tenants.queries.audit import AuditSearch, audit_events, every_event, export_line
from tenants.queries.audit_chain import chain_of, last_check

LONGEST_TEXT = 200
Parsed = TypeVar("Parsed")


class AuditEventAnswer(serializers.Serializer):
    """An event. Its hash covers every fact before it; docs/audit.md says how to recompute it."""

    organization = serializers.UUIDField()
    id = serializers.UUIDField()
    created_at = serializers.DateTimeField()
    actor_kind = serializers.ChoiceField([kind.value for kind in ActorKind])
    actor_id = serializers.UUIDField(allow_null=True)
    actor_name = serializers.CharField(allow_blank=True)
    action = serializers.CharField()
    target_kind = serializers.CharField()
    target_id = serializers.UUIDField()
    before = serializers.DictField(allow_null=True, help_text="amounts in thousandths of a Token (mtok)")
    after = serializers.DictField(allow_null=True)
    ip = serializers.CharField(allow_null=True)
    user_agent = serializers.CharField(allow_blank=True)
    session = serializers.CharField(allow_blank=True, help_text="a fingerprint; it opens nothing")
    request_id = serializers.CharField(allow_blank=True)
    reason = serializers.CharField(allow_blank=True)
    sequence = serializers.IntegerField(allow_null=True, help_text="its place in the chain; null for a few seconds")
    previous_hash = serializers.CharField(allow_blank=True)
    hash = serializers.CharField(allow_blank=True)


class ChainCheckAnswer(serializers.Serializer):
    """The last verification of the chain."""

    checked_at = serializers.DateTimeField(source="created_at")
    passed = serializers.BooleanField()
    events = serializers.IntegerField()
    sequence = serializers.IntegerField()
    hash = serializers.CharField(allow_blank=True)
    finding_count = serializers.IntegerField()
    findings = serializers.ListField(child=serializers.DictField())


class ChainAnswer(serializers.Serializer):
    """Where the chain ends. Keep it: a log that was cut off or rewritten since no longer passes through it."""

    sequence = serializers.IntegerField()
    hash = serializers.CharField(allow_blank=True)
    sealed_at = serializers.DateTimeField(allow_null=True)
    last_check = ChainCheckAnswer(allow_null=True)


SEARCH_PARAMETERS = [
    OpenApiParameter("action", OpenApiTypes.STR, description="such as `sub_token.revoked`"),
    OpenApiParameter("actor", OpenApiTypes.UUID, description="what this person or key did"),
    OpenApiParameter("target", OpenApiTypes.UUID, description="what was done to this"),
    OpenApiParameter("target_kind", OpenApiTypes.STR, description="such as `sub_token`"),
    OpenApiParameter("q", OpenApiTypes.STR, description="text found anywhere in the event, capital or small"),
    OpenApiParameter("from", OpenApiTypes.DATETIME, description="included"),
    OpenApiParameter("to", OpenApiTypes.DATETIME, description="not included"),
]


class AuditEventListView(ManagementView):
    """The log, page by page."""

    @extend_schema(
        operation_id="audit_events",
        summary="Search the audit log, newest first",
        parameters=[*PAGE_PARAMETERS, *SEARCH_PARAMETERS],
        responses={200: page_of("AuditEventPage", AuditEventAnswer), **problems(*READING, 422)},
    )
    @permitted(Permission.AUDIT_VIEW)
    def get(self, request: Request) -> Response:
        """List who did what to what, from where, with what it was before and after. Scope `audit.view`."""
        page = paginate(request, audit_events(management_credential(request).organization_id, _search(request)))
        return Response(page.answer([export_line(event) for event in page.rows]))


class AuditEventExportView(ManagementView):
    """The log as one stream."""

    content_negotiation_class = AnyFormat

    @extend_schema(
        operation_id="audit_events_export",
        summary="Stream the audit log as JSON lines, newest first",
        parameters=SEARCH_PARAMETERS,
        responses={
            (200, "application/x-ndjson"): OpenApiResponse(OpenApiTypes.STR, description="An event in each line."),
            **problems(401, 403, 422),
        },
    )
    @permitted(Permission.AUDIT_VIEW)
    def get(self, request: Request) -> Any:
        """Stream every event of a search, each a line as in the list. Scope `audit.view`.

        `manage.py audit_verify --export FILE` verifies such a file without a database.
        """
        events = every_event(management_credential(request).organization_id, _search(request))
        lines = (orjson.dumps(export_line(event), option=orjson.OPT_APPEND_NEWLINE) for event in events)
        return StreamingHttpResponse(lines, content_type="application/x-ndjson")


class AuditChainView(ManagementView):
    """The chain's end, and whether it was whole when it was last verified."""

    @extend_schema(
        operation_id="audit_chain",
        summary="Where the chain of the audit log ends, and its last verification",
        responses={200: ChainAnswer, **problems(*READING)},
    )
    @permitted(Permission.AUDIT_VIEW)
    def get(self, request: Request) -> Response:
        """Return the sequence number and hash of the last sealed event. Scope `audit.view`."""
        organization_id = management_credential(request).organization_id
        chain, check = chain_of(organization_id), last_check(organization_id)
        return Response(
            {
                "sequence": chain.sequence if chain else 0,
                "hash": chain.hash if chain else "",
                "sealed_at": chain.sealed_at if chain else None,
                "last_check": ChainCheckAnswer(check).data if check else None,
            }
        )


def _search(request: Request) -> AuditSearch:
    return AuditSearch(
        action=_parsed(request, "action", _text, "a text") or "",
        actor_id=_parsed(request, "actor", uuid.UUID, "an id"),
        target_id=_parsed(request, "target", uuid.UUID, "an id"),
        target_kind=_parsed(request, "target_kind", _text, "a text") or "",
        text=_parsed(request, "q", _text, f"a text of at most {LONGEST_TEXT} characters") or "",
        since=_parsed(request, "from", read_moment, "a time (RFC 3339)"),
        until=_parsed(request, "to", read_moment, "a time (RFC 3339)"),
    )


def _text(text: str) -> str:
    if len(text) > LONGEST_TEXT or "\0" in text:
        raise ValueError(text)
    return text.strip()


def _parsed(request: Request, name: str, parse: Callable[[str], Parsed], what: str) -> Parsed | None:
    text = request.query_params.get(name)
    if text is None:
        return None
    try:
        return parse(text)
    except ValueError:
        details: dict[str, Any] = {name: [{"message": f"This must be {what}.", "code": "invalid"}]}
        raise Problem("validation_error", "Some fields are not valid.", errors=details) from None
