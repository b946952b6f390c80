"""`GET /v1/ledger/entries/export`: every entry of a search as one CSV stream."""

from __future__ import annotations

import uuid
from typing import Any

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework.request import Request

from billing.api.ledger import parsed
from billing.api.problems import BillingView
from billing.enums import TransferKind
from billing.queries.exports import entry_rows
from tenants.api.management import management_credential, permitted
from tenants.api.negotiation import AnyFormat
from tenants.api.schema import problems
from tenants.api.times import read_moment
from tenants.permissions import Permission
from tenants.views.downloads import csv_response


class EntryExportView(BillingView):
    """All entries as one stream."""

    content_negotiation_class = AnyFormat

    @extend_schema(
        operation_id="entries_export",
        summary="Stream the ledger's entries as CSV, newest first",
        parameters=[
            OpenApiParameter("account", OpenApiTypes.UUID, description="those of this account"),
            OpenApiParameter("kind", OpenApiTypes.STR, enum=TransferKind.values),
            OpenApiParameter("from", OpenApiTypes.STR, description="date or time, included"),
            OpenApiParameter("to", OpenApiTypes.STR, description="date or time, not included"),
        ],
        responses={
            (200, "text/csv"): OpenApiResponse(OpenApiTypes.STR, description="A heading, and a line for each entry."),
            **problems(401, 403, 422),
        },
    )
    @permitted(Permission.LEDGER_VIEW)
    def get(self, request: Request) -> Any:
        """Stream every entry of a search as CSV, however many. The entries of a transfer sum to zero.

        Texts that a spreadsheet would take for formulas are marked with an apostrophe. Scope `ledger.view`.
        """
        rows = entry_rows(
            management_credential(request).organization_id,
            account_id=parsed(request, "account", uuid.UUID, "the id of an account"),
            kind=parsed(request, "kind", TransferKind, "a kind of transfer"),
            since=parsed(request, "from", read_moment, "a date or a time"),
            until=parsed(request, "to", read_moment, "a date or a time"),
        )
        return csv_response("entries.csv", rows)
