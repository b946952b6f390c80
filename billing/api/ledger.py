"""`GET /v1/ledger/transfers`: the journal."""

from __future__ import annotations

import uuid
from typing import Any

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from billing.api.fields import TokensField
from billing.api.problems import BillingView, invalid
from billing.enums import AccountKind, TransferKind
from billing.queries.ledger import transfer_page
from tenants.api.management import management_credential, permitted
from tenants.api.pagination import PAGE_PARAMETERS, paginate_by
from tenants.api.schema import READING, page_of, problems
from tenants.api.times import read_moment
from tenants.permissions import Permission


class AccountAnswer(serializers.Serializer):
    """Where Tokens are, or the ledger's other ends: issued, consumed, expired, refunded."""

    id = serializers.UUIDField()
    kind = serializers.ChoiceField(AccountKind.values)
    label = serializers.CharField(allow_blank=True)  # type: ignore[assignment]


class EntryAnswer(serializers.Serializer):
    """One leg: Tokens of one grant into (positive) or out of (negative) one account."""

    account = AccountAnswer()
    grant = serializers.UUIDField(source="grant_id")
    tokens = TokensField(source="amount_mtok")


class TransferAnswer(serializers.Serializer):
    """One movement of Tokens. Its entries sum to zero."""

    id = serializers.UUIDField()
    kind = serializers.ChoiceField(TransferKind.values)
    created_at = serializers.DateTimeField()
    reference = serializers.CharField(allow_blank=True, help_text="of a capture: the id of the job")
    reason = serializers.CharField(allow_blank=True)
    actor = serializers.CharField(allow_blank=True)
    entries = EntryAnswer(many=True)


class TransferListView(BillingView):
    """The journal."""

    @extend_schema(
        operation_id="transfers",
        summary="List transfers with their entries, newest first",
        parameters=[
            *PAGE_PARAMETERS,
            OpenApiParameter("account", OpenApiTypes.UUID, description="those that touch this account"),
            OpenApiParameter("kind", OpenApiTypes.STR, enum=TransferKind.values),
            OpenApiParameter("from", OpenApiTypes.DATETIME, description="included"),
            OpenApiParameter("to", OpenApiTypes.DATETIME, description="not included"),
        ],
        responses={200: page_of("TransferPage", TransferAnswer), **problems(*READING, 422)},
    )
    @permitted(Permission.LEDGER_VIEW)
    def get(self, request: Request) -> Response:
        """List every movement of Tokens, newest first, each with its entries. Scope `ledger.view`."""
        found = {
            "account_id": parsed(request, "account", uuid.UUID, "the id of an account"),
            "kind": parsed(request, "kind", TransferKind, "a kind of transfer"),
            "since": parsed(request, "from", read_moment, "a time (RFC 3339)"),
            "until": parsed(request, "to", read_moment, "a time (RFC 3339)"),
        }
        organization_id = management_credential(request).organization_id
        page = paginate_by(
            request, lambda before, limit: transfer_page(organization_id, **found, before=before, limit=limit)
        )
        return Response(page.answer(TransferAnswer(page.rows, many=True).data))


def parsed(request: Request, name: str, parse: Any, what: str) -> Any:
    """Return what a parameter says, None where it is not given. Raises Problem `validation_error`."""
    text = request.query_params.get(name)
    if text is None:
        return None
    try:
        return parse(text)
    except ValueError:
        raise invalid(name, f"This must be {what}.") from None
