"""`GET /v1/forecast`: the day on which Tokens run out, of the organization and of each account."""

from __future__ import annotations

from typing import Any, cast

from django.utils import timezone
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from billing.api.authentication import SubTokenAuthentication
from billing.api.fields import TokensField
from billing.api.ledger import AccountAnswer
from billing.api.problems import invalid
from billing.enums import SPENDING_KINDS, AccountKind
from billing.models import Account
from billing.queries.credentials import Credential
from billing.queries.forecast import Forecast, forecasts, organization_forecast
from tenants.api.authentication import ManagementCredential, ManagementKeyAuthentication
from tenants.api.pagination import PAGE_PARAMETERS, paginate
from tenants.api.schema import READING, problems
from tenants.api.views import ApiView
from tenants.permissions import Permission
from tenants.scope import organization_scope


class ForecastAnswer(serializers.Serializer):
    """When Tokens run out, at the pace of the last 7 days."""

    runs_out_on = serializers.DateField(
        allow_null=True, help_text="UTC; null where nothing was spent lately, or where they last for ten years"
    )
    burn_per_day = TokensField(source="burn_per_day_mtok", help_text="the pace, in Tokens a day")
    basis_days = serializers.IntegerField(help_text="the days that the pace was taken from, 0 to 7")
    available_tokens = TokensField(source="available_mtok")
    expiring_tokens = TokensField(
        source="expiring_mtok", help_text="what expires at this pace before it would be spent"
    )


class AccountForecast(ForecastAnswer):
    """The forecast of one account: what it, and what draws on it, can still spend."""

    account = AccountAnswer()


class ForecastPage(serializers.Serializer):
    """Forecasts of accounts, newest account first, and of all of them together."""

    organization = ForecastAnswer(allow_null=True, help_text="null for a sub-token, which sees its own alone")
    next_cursor = serializers.CharField(allow_null=True)

    def get_fields(self) -> dict[str, Any]:
        """Add `data`, which a serializer has as an attribute of its own."""
        return {**super().get_fields(), "data": AccountForecast(many=True)}


EXAMPLE = OpenApiExample(
    "A line that runs out in a week",
    value={
        "organization": {
            "runs_out_on": "2027-01-04",
            "burn_per_day": 1520.5,
            "basis_days": 7,
            "available_tokens": 66902,
            "expiring_tokens": 0,
        },
        "next_cursor": None,
        "data": [
            {
                "account": {"id": "019aa3b2-7c1e-7c3a-9a55-0d5a3b6c1f10", "kind": "sub_token", "label": "Line 3"},
                "runs_out_on": "2026-11-28",
                "burn_per_day": 140,
                "basis_days": 7,
                "available_tokens": 1000.3,
                "expiring_tokens": 0,
            }
        ],
    },
    response_only=True,
    status_codes=["200"],
)


class ForecastView(ApiView):
    """When Tokens run out."""

    authentication_classes = [SubTokenAuthentication, ManagementKeyAuthentication]

    @extend_schema(
        operation_id="forecast",
        summary="Show the day on which Tokens run out",
        parameters=[*PAGE_PARAMETERS, OpenApiParameter("kind", str, enum=[kind.value for kind in SPENDING_KINDS])],
        examples=[EXAMPLE],
        responses={200: ForecastPage, **problems(*READING, 422)},
    )
    def get(self, request: Request) -> Response:
        """Show when Tokens run out, at the pace of the last 7 days. Costs nothing.

        The pace is what was captured in the last 7 days (UTC, today included) by the days since the first of those
        captures. What is left burns in its order, Tokens that expire before their turn are lost, and a quota on the way
        ends it earlier. A sub-token sees its own; a management key (scope `grants.view`) its organization's, and each
        account's by pages.
        """
        auth = cast("Credential | ManagementCredential", request.auth)
        now = timezone.now()
        with organization_scope(auth.organization_id):
            if isinstance(auth, Credential):
                accounts = [Account.objects.get(id=auth.account_id)]
                return Response(_page(None, accounts, forecasts([auth.account_id], now=now), None))
            auth.require(Permission.GRANTS_VIEW)
            page = paginate(request, Account.objects.filter(kind__in=_kinds(request)))
            found = forecasts([account.id for account in page.rows], now=now)
            whole = organization_forecast(auth.organization_id, now=now)
            return Response(_page(whole, page.rows, found, page.next_cursor))


def _kinds(request: Request) -> list[AccountKind]:
    text = request.query_params.get("kind")
    if text is None:
        return list(SPENDING_KINDS)
    if text not in SPENDING_KINDS:
        raise invalid("kind", f"This must be one of {', '.join(SPENDING_KINDS)}.")
    return [AccountKind(text)]


def _page(
    whole: Forecast | None, accounts: list[Account], found: dict[Any, Forecast], next_cursor: str | None
) -> dict[str, Any]:
    return {
        "organization": ForecastAnswer(whole).data if whole else None,
        "next_cursor": next_cursor,
        "data": [
            {"account": AccountAnswer(account).data, **ForecastAnswer(found[account.id]).data} for account in accounts
        ],
    }
