"""`/v1/payments/{id}/refund`, `/v1/refunds` and `/v1/disputes`: money that goes back."""

from __future__ import annotations

import uuid

from django.utils import timezone
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from billing.api.fields import TokensField, TokensInput
from billing.api.problems import BillingView, invalid
from billing.enums import Currency, DisputeStatus, RefundOrigin, RefundStatus
from billing.queries.refunds import disputes, refunds
from billing.services.refunds import preview_refund, request_refund
from tenants.api.management import idempotency_key, management_credential, permitted
from tenants.api.pagination import PAGE_PARAMETERS, paginate
from tenants.api.schema import IDEMPOTENCY_KEY, READING, WRITING, page_of, problems
from tenants.permissions import Permission


class RefundRequest(serializers.Serializer):
    """What to refund."""

    tokens = TokensInput(required=False, help_text="how many; without it all that are unspent")
    reason = serializers.CharField(required=False, max_length=500, allow_blank=True)


class RefundPreviewAnswer(serializers.Serializer):
    """What a refund would do now. Money is in the currency's minor unit."""

    payment = serializers.UUIDField(source="payment.id")
    tokens = TokensField(source="tokens_mtok", help_text="would go back")
    bonus_tokens = TokensField(
        source="bonus_mtok", help_text="of a code, would go with them; of spent ones as many of the purchase instead"
    )
    unspent_tokens = TokensField(source="unspent_mtok", help_text="the most that could go back")
    currency = serializers.ChoiceField(Currency.values, source="payment.currency")
    amount_minor = serializers.IntegerField(help_text="would be paid back, tax included")
    tax_minor = serializers.IntegerField(help_text="of it")
    method = serializers.CharField(source="payment.method", help_text="where to, such as `visa 4242`")
    until = serializers.DateTimeField(allow_null=True, help_text="the last moment to ask; null for ever")


class RefundAnswer(serializers.Serializer):
    """A refund. Money is in the currency's minor unit."""

    id = serializers.UUIDField()
    payment = serializers.UUIDField(source="payment_id")
    origin = serializers.ChoiceField(RefundOrigin.values)
    status = serializers.ChoiceField(RefundStatus.values)
    tokens = TokensField(source="tokens_mtok", help_text="that its money stands for")
    taken_tokens = TokensField(source="taken_mtok", help_text="of them, taken; 0 once it failed")
    bonus_tokens = TokensField(source="bonus_mtok", help_text="of a code, that go with them")
    taken_bonus_tokens = TokensField(source="bonus_taken_mtok", help_text="of those, taken; 0 once it failed")
    currency = serializers.ChoiceField(Currency.values)
    amount_minor = serializers.IntegerField()
    tax_minor = serializers.IntegerField()
    reason = serializers.CharField(allow_blank=True)
    failure_code = serializers.CharField(allow_blank=True, help_text="in Stripe's words; else empty")
    created_at = serializers.DateTimeField()
    ended_at = serializers.DateTimeField(allow_null=True)


class DisputeAnswer(serializers.Serializer):
    """A dispute about a payment. Money is in the currency's minor unit."""

    id = serializers.UUIDField()
    payment = serializers.UUIDField(source="payment_id")
    status = serializers.ChoiceField(DisputeStatus.values)
    reason = serializers.CharField(allow_blank=True, help_text="in Stripe's words")
    tokens = TokensField(source="tokens_mtok", help_text="that it is about")
    taken_tokens = TokensField(source="taken_mtok", help_text="of them, taken because it was lost")
    bonus_tokens = TokensField(source="bonus_mtok", help_text="of a code, that it is about too")
    taken_bonus_tokens = TokensField(source="bonus_taken_mtok", help_text="of those, taken")
    currency = serializers.ChoiceField(Currency.values)
    amount_minor = serializers.IntegerField()
    created_at = serializers.DateTimeField()
    closed_at = serializers.DateTimeField(allow_null=True)


EXAMPLE = OpenApiExample(
    "On its way",
    value={
        "id": "019aa3b2-7c1e-7c3a-9a55-0d5a3b6c1f11",
        "payment": "019aa3b2-7c1e-7c3a-9a55-0d5a3b6c1f10",
        "origin": "customer",
        "status": "pending",
        "tokens": 400,
        "taken_tokens": 400,
        "bonus_tokens": 0,
        "taken_bonus_tokens": 0,
        "currency": "CNY",
        "amount_minor": 400,
        "tax_minor": 23,
        "reason": "Not needed",
        "failure_code": "",
        "created_at": "2026-11-28T12:00:00Z",
        "ended_at": None,
    },
    response_only=True,
    status_codes=["200", "201"],
)


class RefundListView(BillingView):
    """All refunds."""

    @extend_schema(
        operation_id="refunds",
        summary="List refunds, newest first",
        parameters=PAGE_PARAMETERS,
        responses={200: page_of("RefundPage", RefundAnswer), **problems(*READING, 422)},
    )
    @permitted(Permission.BILLING_MANAGE)
    def get(self, request: Request) -> Response:
        """List what was paid back, or is on its way, whoever began it. Scope `billing.manage`."""
        page = paginate(request, refunds(management_credential(request).organization_id))
        return Response(page.answer(RefundAnswer(page.rows, many=True).data))


class DisputeListView(BillingView):
    """All disputes."""

    @extend_schema(
        operation_id="disputes",
        summary="List disputes, newest first",
        parameters=PAGE_PARAMETERS,
        responses={200: page_of("DisputePage", DisputeAnswer), **problems(*READING, 422)},
    )
    @permitted(Permission.BILLING_MANAGE)
    def get(self, request: Request) -> Response:
        """List the disputes about payments. What is left of a disputed payment's Tokens is frozen while it is open.

        Scope `billing.manage`.
        """
        page = paginate(request, disputes(management_credential(request).organization_id))
        return Response(page.answer(DisputeAnswer(page.rows, many=True).data))


class PaymentRefundView(BillingView):
    """Refunding a payment."""

    @extend_schema(
        operation_id="preview_refund",
        summary="Say what refunding a payment would do",
        parameters=[
            OpenApiParameter(
                "tokens",
                {"oneOf": [{"type": "number", "minimum": 0}, {"type": "string"}]},
                description="how many; without it all that are unspent",
            )
        ],
        responses={200: RefundPreviewAnswer, **problems(*READING, 404, 409, 422, 429)},
    )
    @permitted(Permission.BILLING_MANAGE)
    def get(self, request: Request, payment_id: uuid.UUID) -> Response:
        """Say how many Tokens would go back and how much money would come, now. Changes nothing.

        409 `refund_refused` with a `reason` when the payment cannot be refunded, 429 `insufficient_tokens` when fewer
        are unspent. Scope `billing.manage`.
        """
        text = request.query_params.get("tokens")
        mtok = None
        if text is not None:
            try:
                mtok = TokensInput().to_internal_value(text)
            except serializers.ValidationError as error:
                raise invalid("tokens", str(error.detail[0])) from None  # type: ignore[index]
        preview = preview_refund(
            organization_id=management_credential(request).organization_id,
            payment_id=payment_id,
            mtok=mtok,
            now=timezone.now(),
        )
        return Response(RefundPreviewAnswer(preview).data)

    @extend_schema(
        operation_id="refund_payment",
        summary="Refund a payment",
        request=RefundRequest,
        parameters=[IDEMPOTENCY_KEY],
        examples=[EXAMPLE],
        responses={201: RefundAnswer, **problems(*WRITING, 404, 429, 503)},
    )
    @permitted(Permission.BILLING_MANAGE, scoped=False)
    def post(self, request: Request, payment_id: uuid.UUID) -> Response:
        """Give unspent Tokens of a payment back for the money that was paid for them, to where it came from.

        The Tokens go at once, the money in some days: `status` says how far it is. If the bank refuses it, the Tokens
        come back into the wallet. The same `Idempotency-Key` is the same refund, for ever. 409 `refund_refused` with a
        `reason` (`not_paid`, `nothing_paid`, `no_tokens`, `refunded`, `disputed`, `too_late`, `too_little`, `kind`),
        403 `debt_outstanding`, 429 `insufficient_tokens`. Scope `billing.manage`.
        """
        body = RefundRequest(data=request.data)
        body.is_valid(raise_exception=True)
        credential, now = management_credential(request), timezone.now()
        refund = request_refund(
            organization_id=credential.organization_id,
            payment_id=payment_id,
            mtok=body.validated_data.get("tokens"),
            reason=body.validated_data.get("reason", ""),
            actor=credential.actor,
            idempotency_key=idempotency_key(request) or "",
            now=now,
        )
        replayed = {} if refund.created_at == now else {"Idempotent-Replayed": "true"}
        return Response(RefundAnswer(refund).data, status=201, headers=replayed)
