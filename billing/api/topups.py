"""`/v1/topups`: buying Tokens. The money is paid on Stripe's page; what comes of it can be asked here."""

from __future__ import annotations

import uuid

from django.utils import timezone
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from billing.api.fields import MOST_TOKENS, TokensField, TokensInput
from billing.api.problems import BillingView, invalid
from billing.codes import LONGEST_TYPED
from billing.enums import Currency, PaymentKind, PaymentStatus
from billing.errors import TopUpInvalid
from billing.queries.payments import payments
from billing.queries.top_ups import Offer, cheaper_offer, offer_of_amount, offer_of_package
from billing.services import topups as service
from billing.services.topups import Buyer
from tenants.actors import Actor
from tenants.api.management import idempotency_key, management_credential, permitted
from tenants.api.pagination import PAGE_PARAMETERS, paginate
from tenants.api.schema import IDEMPOTENCY_KEY, READING, WRITING, page_of, problems
from tenants.languages import language_of
from tenants.permissions import Permission
from tenants.queries.people import billing_people_of
from tenants.scope import organization_scope

PAYING = (402, 502, 503)


class TopUpRequest(serializers.Serializer):
    """What to buy: a package, or a free amount of whole Tokens in a currency."""

    package = serializers.UUIDField(required=False, help_text="of /v1/packages")
    tokens = TokensInput(required=False, help_text="instead of a package: a free amount")
    currency = serializers.ChoiceField(Currency.values, required=False, help_text="of a free amount")
    code = serializers.CharField(
        required=False, max_length=LONGEST_TYPED, help_text="a promotion code, reserved until this is paid or given up"
    )

    def validate(self, attrs: dict) -> dict:
        """Take one of both."""
        if ("package" in attrs) == ("tokens" in attrs):
            raise serializers.ValidationError({"package": "Give either a package or tokens."})
        if ("tokens" in attrs) != ("currency" in attrs):
            raise serializers.ValidationError({"currency": "A free amount has a currency, a package has its own."})
        return attrs


class TopUpAnswer(serializers.Serializer):
    """A payment for Tokens. Money is in the currency's minor unit."""

    id = serializers.UUIDField()
    kind = serializers.ChoiceField(PaymentKind.values)
    status = serializers.ChoiceField(PaymentStatus.values)
    tokens = TokensField(source="tokens_mtok")
    package = serializers.CharField(source="label", help_text="its name; empty for a free amount")
    valid_days = serializers.IntegerField(allow_null=True, help_text="from the payment; null for ever")
    currency = serializers.ChoiceField(Currency.values)
    amount_minor = serializers.IntegerField(help_text="the price, before discount and tax")
    discount_minor = serializers.IntegerField()
    tax_minor = serializers.IntegerField(help_text="known once it is paid")
    total_minor = serializers.IntegerField()
    refunded_minor = serializers.IntegerField()
    checkout_url = serializers.CharField(help_text="where to pay, while it can be paid; else empty")
    expires_at = serializers.DateTimeField(allow_null=True, help_text="until when it can be paid there")
    method = serializers.CharField(help_text="what was paid with, such as `visa 4242`")
    failure_code = serializers.CharField(help_text="why the last try failed, in Stripe's words; else empty")
    invoice_number = serializers.CharField()
    invoice_url = serializers.CharField()
    invoice_pdf = serializers.CharField()
    receipt_url = serializers.CharField()
    grant = serializers.UUIDField(source="grant_id", allow_null=True, help_text="the Tokens, once it is paid")
    created_at = serializers.DateTimeField()
    paid_at = serializers.DateTimeField(allow_null=True)


class PriceAnswer(serializers.Serializer):
    """What a free amount costs, without tax."""

    tokens = TokensField(source="tokens_mtok")
    currency = serializers.ChoiceField(Currency.values)
    amount_minor = serializers.IntegerField()
    valid_days = serializers.IntegerField(allow_null=True)


class PriceWithHint(PriceAnswer):
    """A price, and more Tokens for less where there are such."""

    cheaper = PriceAnswer(allow_null=True, help_text="more Tokens for no more money, if there are")


EXAMPLE = OpenApiExample(
    "Begun",
    value={
        "id": "019aa3b2-7c1e-7c3a-9a55-0d5a3b6c1f10",
        "kind": "topup",
        "status": "open",
        "tokens": 1000,
        "package": "Starter",
        "valid_days": 180,
        "currency": "CNY",
        "amount_minor": 1000,
        "discount_minor": 0,
        "tax_minor": 0,
        "total_minor": 1000,
        "refunded_minor": 0,
        "checkout_url": "https://checkout.stripe.com/c/pay/cs_live_a1b2",
        "expires_at": "2026-11-29T12:00:00Z",
        "method": "",
        "failure_code": "",
        "invoice_number": "",
        "invoice_url": "",
        "invoice_pdf": "",
        "receipt_url": "",
        "grant": None,
        "created_at": "2026-11-28T12:00:00Z",
        "paid_at": None,
    },
    response_only=True,
    status_codes=["200", "201"],
)


class TopUpListView(BillingView):
    """Buying Tokens."""

    @extend_schema(
        operation_id="topups",
        summary="List payments",
        parameters=PAGE_PARAMETERS,
        responses={200: page_of("TopUpPage", TopUpAnswer), **problems(*READING, 422)},
    )
    @permitted(Permission.BILLING_MANAGE)
    def get(self, request: Request) -> Response:
        """List what was paid, or begun to be paid, latest first. Scope `billing.manage`."""
        page = paginate(request, payments())
        return Response(page.answer(TopUpAnswer(page.rows, many=True).data))

    @extend_schema(
        operation_id="begin_topup",
        summary="Begin to buy Tokens",
        parameters=[IDEMPOTENCY_KEY],
        request=TopUpRequest,
        examples=[EXAMPLE],
        responses={201: TopUpAnswer, **problems(*WRITING, *PAYING, 429)},
    )
    @permitted(Permission.BILLING_MANAGE, scoped=False)
    def post(self, request: Request) -> Response:
        """Begin a payment; a person makes it at `checkout_url`, and the Tokens come the moment it is paid.

        The same request with the same `Idempotency-Key` is the same payment, for ever: it is never charged twice, and
        shows where it has come to. The price is without tax, which is worked out where it is paid. What a `code` takes
        off is in `discount_minor`, what it adds comes as a grant of its own; refusals of it are those of `/v1/redeem`.
        Scope `billing.manage`.
        """
        body = TopUpRequest(data=request.data)
        body.is_valid(raise_exception=True)
        credential, now = management_credential(request), timezone.now()
        payment = service.begin_top_up(
            organization_id=credential.organization_id,
            offer=_offer(body.validated_data),
            buyer=buyer_of(credential.organization_id, credential.actor),
            code=body.validated_data.get("code", ""),
            idempotency_key=idempotency_key(request) or "",
            now=now,
        )
        replayed = {} if payment.created_at == now else {"Idempotent-Replayed": "true"}
        return Response(TopUpAnswer(payment).data, status=201, headers=replayed)


class TopUpPriceView(BillingView):
    """What a free amount costs."""

    @extend_schema(
        operation_id="topup_price",
        summary="Price a free amount of Tokens",
        parameters=[
            OpenApiParameter(
                "tokens",
                {"type": "integer", "minimum": 1, "maximum": MOST_TOKENS},
                required=True,
                description="how many",
            ),
            OpenApiParameter("currency", str, enum=Currency.values, required=True),
        ],
        responses={200: PriceWithHint, **problems(*READING, 422)},
    )
    @permitted(Permission.GRANTS_VIEW)
    def get(self, request: Request) -> Response:
        """Price a free amount, without tax: the whole amount at the price of the tier that it reaches.

        Scope `grants.view`.
        """
        text = request.query_params.get("tokens", "")
        try:
            tokens_mtok = TokensInput().to_internal_value(text)
        except serializers.ValidationError:
            raise invalid("tokens", "This must be a whole number of Tokens.") from None
        offer = offer_of_amount(tokens_mtok=tokens_mtok, currency=request.query_params.get("currency", ""))
        return Response({**PriceAnswer(offer).data, "cheaper": _or_none(cheaper_offer(offer))})


class TopUpView(BillingView):
    """One payment."""

    @extend_schema(
        operation_id="topup",
        summary="Show a payment",
        examples=[EXAMPLE],
        responses={200: TopUpAnswer, **problems(*READING, 404)},
    )
    @permitted(Permission.BILLING_MANAGE)
    def get(self, request: Request, payment_id: uuid.UUID) -> Response:
        """Show how far a payment is. Scope `billing.manage`."""
        organization_id = management_credential(request).organization_id
        payment = service.find_payment(organization_id=organization_id, payment_id=payment_id)
        return Response(TopUpAnswer(payment).data)


class CancelTopUpView(BillingView):
    """Giving a payment up."""

    @extend_schema(
        operation_id="cancel_topup",
        summary="Cancel a payment that was begun",
        parameters=[IDEMPOTENCY_KEY],
        request=None,
        examples=[EXAMPLE],
        responses={200: TopUpAnswer, **problems(*WRITING, *PAYING, 404)},
    )
    @permitted(Permission.BILLING_MANAGE, scoped=False)
    def post(self, request: Request, payment_id: uuid.UUID) -> Response:
        """Close the page on which it could be paid; nothing is charged. What was paid meanwhile is credited instead.

        Doing it twice is a `conflict`, which says that it is over. Scope `billing.manage`.
        """
        idempotency_key(request)
        credential = management_credential(request)
        payment = service.cancel_top_up(
            organization_id=credential.organization_id,
            payment_id=payment_id,
            actor=credential.actor,
            now=timezone.now(),
        )
        return Response(TopUpAnswer(payment).data)


def _offer(asked: dict) -> Offer:
    if "package" in asked:
        return offer_of_package(asked["package"])
    return offer_of_amount(tokens_mtok=asked["tokens"], currency=asked["currency"])


def buyer_of(organization_id: uuid.UUID, actor: Actor) -> Buyer:
    """Return for whom a key buys: the receipt goes to the first of those who may buy."""
    with organization_scope(organization_id):
        people = billing_people_of(organization_id)
    if not people:
        raise TopUpInvalid("package", "Nobody in this organization may buy.")
    return Buyer(actor, people[0].email, language_of(people[0]))


def _or_none(offer: Offer | None) -> dict | None:
    return None if offer is None else PriceAnswer(offer).data
