"""`GET /v1/statements`: a month of an organization or a team, reconciled; as JSON, CSV or PDF."""

from __future__ import annotations

import uuid
from typing import Any

from django.http import HttpResponse
from django.utils import timezone
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, OpenApiResponse, extend_schema, extend_schema_field
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from billing.api.fields import TokensField
from billing.api.problems import BillingView, invalid
from billing.queries.statements import Statement, last_month, read_month, statement
from billing.statement_files import statement_pdf, statement_rows
from tenants.api.management import management_credential, permitted
from tenants.api.problems import Problem
from tenants.api.schema import READING, problems
from tenants.models import Organization, Team
from tenants.permissions import Permission
from tenants.views.downloads import csv_response

FORMATS = ("json", "csv", "pdf")


class LineAnswer(serializers.Serializer):
    """What came in and went out by transfers of one kind."""

    kind = serializers.CharField(help_text="a kind of transfer, or `drawn`: taken from accounts above and spent")
    in_tokens = TokensField(source="in_mtok")
    out_tokens = TokensField(source="out_mtok")


class SpenderAnswer(serializers.Serializer):
    """What was captured through one account."""

    account = serializers.CharField(source="label")
    captures = serializers.IntegerField()
    tokens = TokensField(source="mtok")


@extend_schema_field({"type": "string", "pattern": "^[0-9]{4}-[0-9]{2}$", "example": "2026-11"})
class MonthField(serializers.DateField):
    """A month, YYYY-MM."""


class StatementAnswer(serializers.Serializer):
    """A month of an organization or a team: opening + in - out = closing."""

    month = MonthField(format="%Y-%m")
    organization = serializers.CharField()
    team = serializers.CharField(allow_null=True)
    final = serializers.BooleanField(help_text="false while the month is not over")
    opening_tokens = TokensField(source="opening_mtok")
    lines = LineAnswer(many=True)
    in_tokens = TokensField(source="in_mtok")
    out_tokens = TokensField(source="out_mtok")
    closing_tokens = TokensField(source="closing_mtok")
    captured = SpenderAnswer(source="spenders", many=True, help_text="the dearest account first")


EXAMPLE = OpenApiExample(
    "A month of a team",
    value={
        "month": "2026-10",
        "organization": "Acme Boards",
        "team": "Line 3",
        "final": True,
        "opening_tokens": 120.5,
        "lines": [
            {"kind": "allocation", "in_tokens": 1000, "out_tokens": 0},
            {"kind": "capture", "in_tokens": 0, "out_tokens": 903.125},
        ],
        "in_tokens": 1000,
        "out_tokens": 903.125,
        "closing_tokens": 217.375,
        "captured": [{"account": "Camera 1", "captures": 1290, "tokens": 903.125}],
    },
    response_only=True,
    status_codes=["200"],
)


class StatementView(BillingView):
    """A month's statement."""

    @extend_schema(
        operation_id="statement",
        summary="Show a month's statement",
        parameters=[
            OpenApiParameter("month", OpenApiTypes.STR, description="such as 2026-10; the last that is over if unsaid"),
            OpenApiParameter("team", OpenApiTypes.UUID, description="of this team; of the organization if unsaid"),
            OpenApiParameter("as", OpenApiTypes.STR, enum=FORMATS, description="json if unsaid"),
        ],
        examples=[EXAMPLE],
        responses={
            200: StatementAnswer,
            (200, "text/csv"): OpenApiResponse(OpenApiTypes.STR),
            (200, "application/pdf"): OpenApiResponse(OpenApiTypes.BINARY),
            **problems(*READING, 409, 422),
        },
    )
    @permitted(Permission.LEDGER_VIEW)
    def get(self, request: Request) -> Any:
        """Show what there was at the month's beginning, what came in and went out, and what is left. UTC.

        Opening and movements are summed from the ledger's entries, and the closing must be what the balances say and
        the captures what was burned, to the thousandth: otherwise the answer is 409 `conflict` and nothing is given
        out. A team's are its pool, what hangs below it, and its sub-tokens. Scope `ledger.view`.
        """
        wanted = request.query_params.get("as", "json")
        if wanted not in FORMATS:
            raise invalid("as", f"This must be one of {', '.join(FORMATS)}.")
        found = _asked(request)
        if found.differences:
            raise Problem("conflict", "This statement does not reconcile with the ledger and is not given out.")
        name = f"statement-{found.month:%Y-%m}"
        if wanted == "csv":
            return csv_response(f"{name}.csv", list(statement_rows(found)))
        if wanted == "pdf":
            headers = {"Content-Disposition": f'attachment; filename="{name}.pdf"'}
            return HttpResponse(statement_pdf(found), content_type="application/pdf", headers=headers)
        return Response(StatementAnswer(found).data)


def _asked(request: Request) -> Statement:
    query, now = request.query_params, timezone.now()
    try:
        month = read_month(query["month"]) if "month" in query else last_month(now)
    except ValueError:
        raise invalid("month", "This must be a month, such as 2026-10.") from None
    try:
        team = Team.objects.get(id=uuid.UUID(query["team"])) if "team" in query else None
    except (ValueError, Team.DoesNotExist):
        raise invalid("team", "There is no such team.") from None
    organization_id = management_credential(request).organization_id
    return statement(
        organization_id,
        organization=Organization.objects.get(id=organization_id).name,
        month=month,
        team_id=team.id if team else None,
        team=team.name if team else None,
        now=now,
    )
