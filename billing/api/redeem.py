"""`POST /v1/redeem`: Tokens for a code."""

from __future__ import annotations

from django.utils import timezone
from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from billing.api.fields import TokensField
from billing.api.problems import BillingView
from billing.codes import LONGEST_TYPED
from billing.services.codes import redeem_code
from tenants.api.management import management_credential, permitted
from tenants.api.schema import IDEMPOTENCY_KEY, WRITING, problems
from tenants.identifiers import new_id
from tenants.permissions import Permission


class RedeemRequest(serializers.Serializer):
    """A code."""

    code = serializers.CharField(max_length=LONGEST_TYPED, help_text="small letters, spaces and dashes do no harm")


class RedeemAnswer(serializers.Serializer):
    """What a code was worth."""

    id = serializers.UUIDField()
    code = serializers.CharField(source="hint", help_text="how the code begins")
    tokens = TokensField(source="tokens_mtok")
    grant = serializers.UUIDField(source="grant_id", help_text="the grant that credited them")
    expires_at = serializers.DateTimeField(source="grant.expires_at", allow_null=True)
    redeemed_at = serializers.DateTimeField(source="created_at")


EXAMPLES = [
    OpenApiExample("A voucher", value={"code": "TSC-7KQ2M-X4V9B-0TR3H-WJ5CN-8DZ6P"}, request_only=True),
    OpenApiExample(
        "50 Tokens for a year",
        value={
            "id": "019aa3b2-7c1e-7c3a-9a55-0d5a3b6c1f10",
            "code": "TSC-7KQ2M",
            "tokens": 50,
            "grant": "019aa3b2-7c1f-7d41-8d0c-3a5e6b7c8d9e",
            "expires_at": "2027-11-28T08:00:00Z",
            "redeemed_at": "2026-11-28T08:00:00Z",
        },
        response_only=True,
        status_codes=["200"],
    ),
]


class RedeemView(BillingView):
    """Redeeming a code."""

    @extend_schema(
        operation_id="redeem",
        summary="Redeem a code for Tokens",
        request=RedeemRequest,
        examples=EXAMPLES,
        parameters=[IDEMPOTENCY_KEY],
        responses={200: RedeemAnswer, **problems(*WRITING, 429)},
    )
    @permitted(Permission.BILLING_MANAGE)
    def post(self, request: Request) -> Response:
        """Credit the Tokens of a code at once. Scope `billing.manage`.

        422 `code_mistyped` for characters that do not belong together, 422 `code_invalid` for a code that is unknown,
        has expired or was used up, 409 `code_not_applicable` with a `reason`: `used_before`, or `needs_purchase` for a
        code that counts with a purchase. 429 `rate_limited` after too many that did not work.
        """
        body = RedeemRequest(data=request.data)
        body.is_valid(raise_exception=True)
        credential = management_credential(request)
        redemption = redeem_code(
            organization_id=credential.organization_id,
            typed=body.validated_data["code"],
            actor=credential.actor,
            idempotency_key=f"api:{new_id()}",
            now=timezone.now(),
        )
        return Response(RedeemAnswer(redemption).data)
