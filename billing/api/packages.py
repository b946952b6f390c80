"""`GET /v1/packages`: what is sold."""

from __future__ import annotations

from drf_spectacular.utils import OpenApiExample, OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from billing.api.fields import TokensField
from billing.api.problems import BillingView, invalid
from billing.enums import Currency
from billing.queries.packages import packages_on_sale
from tenants.api.management import permitted
from tenants.api.schema import READING, problems
from tenants.permissions import Permission


class PackageAnswer(serializers.Serializer):
    """An amount of Tokens with a price and a life."""

    id = serializers.UUIDField()
    name = serializers.CharField()
    tokens = TokensField(source="tokens_mtok")
    price_minor = serializers.IntegerField(help_text="in the currency's minor unit: fen, cent")
    currency = serializers.ChoiceField(Currency.values)
    valid_days = serializers.IntegerField(allow_null=True, help_text="from the purchase; null for ever")
    models = serializers.ListField(
        child=serializers.CharField(), help_text="what it is offered for, empty for all; its Tokens pay for any model"
    )


class PackagesAnswer(serializers.Serializer):
    """What is on sale, in the order in which it is offered."""

    packages = PackageAnswer(many=True)


EXAMPLE = OpenApiExample(
    "One package",
    value={
        "packages": [
            {
                "id": "019aa3b2-7c1e-7c3a-9a55-0d5a3b6c1f10",
                "name": "Starter",
                "tokens": 1000,
                "price_minor": 1000,
                "currency": "CNY",
                "valid_days": 180,
                "models": [],
            }
        ]
    },
    response_only=True,
    status_codes=["200"],
)


class PackageListView(BillingView):
    """What is sold."""

    @extend_schema(
        operation_id="packages",
        summary="List the packages on sale",
        parameters=[OpenApiParameter("currency", str, enum=Currency.values)],
        examples=[EXAMPLE],
        responses={200: PackagesAnswer, **problems(*READING, 422)},
    )
    @permitted(Permission.GRANTS_VIEW)
    def get(self, request: Request) -> Response:
        """List what is on sale, in one currency or in all. Scope `grants.view`."""
        currency = request.query_params.get("currency")
        if currency is not None and currency not in Currency.values:
            raise invalid("currency", "This must be a currency that packages are sold in.")
        return Response(PackagesAnswer({"packages": packages_on_sale(currency)}).data)
