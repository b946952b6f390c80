"""`/v1/auto_topup`: buying Tokens by itself with a saved card."""

from __future__ import annotations

from typing import Any

from django.utils import timezone
from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from billing.api.fields import TokensField, TokensInput
from billing.api.problems import BillingView, invalid
from billing.enums import AutoTopUpStatus, Currency, StopReason
from billing.errors import AutoTopUpInvalid, TopUpInvalid
from billing.models import AutoTopUp, BillingCustomer
from billing.queries.auto_top_up import spent_this_month
from billing.services.auto_top_up_settings import MOST_PER_DAY, MOST_PER_HOUR, AutoTopUpTerms, set_auto_top_up
from tenants.api.management import management_credential, permitted
from tenants.api.schema import READING, WRITING, problems
from tenants.permissions import Permission

MOST_MINOR = 10**9


class AutoTopUpRequest(serializers.Serializer):
    """When and what is bought: a package, or a free amount in a currency."""

    enabled = serializers.BooleanField()
    threshold = TokensInput(help_text="bought when spending leaves the wallet less than this")
    package = serializers.UUIDField(required=False, allow_null=True, help_text="of /v1/packages")
    tokens = TokensInput(required=False, allow_null=True, help_text="instead of a package")
    currency = serializers.ChoiceField(Currency.values, required=False, allow_null=True, help_text="of a free amount")
    monthly_ceiling_minor = serializers.IntegerField(min_value=1, max_value=MOST_MINOR)
    most_per_hour = serializers.IntegerField(min_value=1, max_value=MOST_PER_HOUR, default=2)
    most_per_day = serializers.IntegerField(min_value=1, max_value=MOST_PER_DAY, default=5)


class ChargedCard(serializers.Serializer):
    """The card that is charged, as far as anybody but Stripe knows it."""

    brand = serializers.CharField(source="card_brand")
    last4 = serializers.CharField(source="card_last4")


class AutoTopUpAnswer(serializers.Serializer):
    """How the automatic top-up is set, and how it is."""

    enabled = serializers.BooleanField()
    status = serializers.ChoiceField(AutoTopUpStatus.values)
    stop_reason = serializers.ChoiceField([reason for reason in StopReason.values if reason], allow_null=True)
    next_try_at = serializers.DateTimeField(allow_null=True, help_text="after a decline, or when a new month begins")
    threshold = TokensField(allow_null=True)
    package = serializers.UUIDField(allow_null=True)
    tokens = TokensField(allow_null=True)
    currency = serializers.ChoiceField(Currency.values, allow_null=True)
    monthly_ceiling_minor = serializers.IntegerField(allow_null=True)
    spent_this_month_minor = serializers.IntegerField()
    most_per_hour = serializers.IntegerField(allow_null=True)
    most_per_day = serializers.IntegerField(allow_null=True)
    card = ChargedCard(allow_null=True)


EXAMPLES = [
    OpenApiExample(
        "10,000 Tokens below 1,000",
        value={
            "enabled": True,
            "threshold": 1000,
            "tokens": 10000,
            "currency": "CNY",
            "monthly_ceiling_minor": 50000,
        },
        request_only=True,
    ),
    OpenApiExample(
        "On",
        value={
            "enabled": True,
            "status": "on",
            "stop_reason": None,
            "next_try_at": None,
            "threshold": 1000,
            "package": None,
            "tokens": 10000,
            "currency": "CNY",
            "monthly_ceiling_minor": 50000,
            "spent_this_month_minor": 9500,
            "most_per_hour": 2,
            "most_per_day": 5,
            "card": {"brand": "visa", "last4": "4242"},
        },
        response_only=True,
        status_codes=["200"],
    ),
]


class AutoTopUpView(BillingView):
    """The automatic top-up."""

    @extend_schema(
        operation_id="auto_topup",
        summary="Show the automatic top-up",
        examples=EXAMPLES,
        responses={200: AutoTopUpAnswer, **problems(*READING)},
    )
    @permitted(Permission.BILLING_MANAGE)
    def get(self, request: Request) -> Response:
        """Show how the automatic top-up is set, and how it is. Scope `billing.manage`."""
        return Response(AutoTopUpAnswer(_facts(AutoTopUp.objects.first())).data)

    @extend_schema(
        operation_id="set_auto_topup",
        summary="Set the automatic top-up",
        request=AutoTopUpRequest,
        examples=EXAMPLES,
        responses={200: AutoTopUpAnswer, **problems(*WRITING)},
    )
    @permitted(Permission.BILLING_MANAGE)
    def put(self, request: Request) -> Response:
        """Set when what is bought, and turn it on or off. A person saves the card, in the console.

        Where the wallet has too little already, the first payment is made at once. What has stopped goes on when a
        person lets it, in the console. Scope `billing.manage`.
        """
        body = AutoTopUpRequest(data=request.data)
        body.is_valid(raise_exception=True)
        values, credential = body.validated_data, management_credential(request)
        terms = AutoTopUpTerms(
            enabled=values["enabled"],
            threshold_mtok=values["threshold"],
            package_id=values.get("package"),
            tokens_mtok=values.get("tokens"),
            currency=values.get("currency") or "",
            ceiling_minor=values["monthly_ceiling_minor"],
            most_per_hour=values["most_per_hour"],
            most_per_day=values["most_per_day"],
        )
        try:
            row = set_auto_top_up(
                organization_id=credential.organization_id, terms=terms, actor=credential.actor, now=timezone.now()
            )
        except (AutoTopUpInvalid, TopUpInvalid) as error:
            raise invalid(NAMES.get(error.field, error.field), str(error)) from None
        return Response(AutoTopUpAnswer(_facts(row)).data)


# What members of the request the service calls otherwise.
NAMES = {"ceiling": "monthly_ceiling_minor", "card": "enabled"}


def _facts(row: AutoTopUp | None) -> dict[str, Any]:
    card = BillingCustomer.objects.exclude(card_payment_method_id="").first()
    if row is None:
        names = ("stop_reason", "next_try_at", "threshold", "package", "tokens", "currency", "monthly_ceiling_minor",
                 "most_per_hour", "most_per_day")  # fmt: skip
        return dict.fromkeys(names) | {"enabled": False, "status": "off", "spent_this_month_minor": 0, "card": card}
    return {
        "enabled": row.status != AutoTopUpStatus.OFF,
        "status": row.status,
        "stop_reason": row.stop_reason or None,
        "next_try_at": row.due_at if row.status in {AutoTopUpStatus.DECLINED, AutoTopUpStatus.CEILING} else None,
        "threshold": row.threshold_mtok,
        "package": row.package_id,
        "tokens": row.tokens_mtok,
        "currency": row.currency,
        "monthly_ceiling_minor": row.ceiling_minor,
        "spent_this_month_minor": spent_this_month(row.currency, timezone.now()),
        "most_per_hour": row.most_per_hour,
        "most_per_day": row.most_per_day,
        "card": card,
    }
