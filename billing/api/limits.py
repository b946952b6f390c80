"""`/v1/limits`: what the organization, its teams and its sub-tokens may use at most, and how much of it is used."""

from __future__ import annotations

import uuid
from decimal import Decimal
from typing import Any

from django.utils import timezone
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from billing.api.fields import TokensField, TokensInput
from billing.api.problems import BillingView, invalid
from billing.api.serializers import LARGEST_LIMIT
from billing.enums import LEVEL_OF_KIND, AccountKind, Level
from billing.errors import AccountUnknown
from billing.models import Account
from billing.queries.limits import AccountLimits, account_limits
from billing.services.limits import Ceilings, set_limits
from billing.services.rate import requests_today
from tenants.api.management import management_credential, permitted
from tenants.api.pagination import PAGE_PARAMETERS, paginate
from tenants.api.schema import READING, WRITING, page_of, problems
from tenants.api.serializers import StrictSerializer
from tenants.models import Organization, WhenUncounted
from tenants.permissions import Permission
from tenants.services.organizations import change_when_uncounted

KIND_OF_LEVEL = {level: kind for kind, level in LEVEL_OF_KIND.items()}
NAMES = {
    "tokens_per_hour": "tokens_per_hour_mtok",
    "tokens_per_day": "tokens_per_day_mtok",
    "tokens_per_month": "tokens_per_month_mtok",
    "tokens_total": "tokens_total_mtok",
}


def _tokens(what: str) -> TokensInput:
    return TokensInput(required=False, allow_null=True, help_text=what)


def _count(what: str) -> serializers.IntegerField:
    return serializers.IntegerField(
        min_value=1, max_value=LARGEST_LIMIT, required=False, allow_null=True, help_text=what
    )


class LimitsRequest(StrictSerializer):
    """All limits of one account; null, or left out, means none."""

    tokens_per_hour = _tokens("per clock hour of UTC")
    tokens_per_day = _tokens("per day of UTC")
    tokens_per_month = _tokens("per calendar month of UTC")
    tokens_total = _tokens("in all, from the account's beginning")
    requests_per_second = serializers.DecimalField(
        max_digits=9,
        decimal_places=3,
        min_value=Decimal("0.001"),
        max_value=LARGEST_LIMIT - 1,
        required=False,
        allow_null=True,
    )
    burst = _count("requests that may come at once; one second's worth if unsaid")
    requests_per_day = _count("per day of UTC")
    concurrency = _count("calls at a time")
    when_uncounted = serializers.ChoiceField(
        WhenUncounted.values,
        required=False,
        help_text="of the organization only: what becomes of calls while requests cannot be counted; stays if unsaid",
    )

    def ceilings(self) -> Ceilings:
        """Return the limits that were asked for."""
        values: dict[str, Any] = {NAMES.get(name, name): value for name, value in self.validated_data.items()}
        values.pop("when_uncounted", None)
        return Ceilings(**values)


class LimitWindowAnswer(serializers.Serializer):
    """One limit of Tokens in the period that runs."""

    limit = serializers.CharField(source="name", help_text="tokens_per_hour, tokens_per_day, ...")
    limit_tokens = TokensField(source="ceiling_mtok")
    used_tokens = TokensField(source="used_mtok", help_text="held and charged, here and in all accounts below")
    remaining_tokens = TokensField(source="remaining_mtok")
    starts_at = serializers.DateTimeField()
    resets_at = serializers.DateTimeField(source="ends_at", allow_null=True, help_text="null: never")


class LimitsAnswer(serializers.Serializer):
    """What binds an account itself; what is above it binds it too."""

    account = serializers.UUIDField()
    parent = serializers.UUIDField(allow_null=True)  # type: ignore[assignment]
    level = serializers.ChoiceField(Level.values)
    name = serializers.CharField()
    team = serializers.UUIDField(allow_null=True)
    sub_token = serializers.UUIDField(allow_null=True)
    tokens_per_hour = TokensField(allow_null=True)
    tokens_per_day = TokensField(allow_null=True)
    tokens_per_month = TokensField(allow_null=True)
    tokens_total = TokensField(allow_null=True)
    requests_per_second = serializers.FloatField(allow_null=True)
    burst = serializers.IntegerField(allow_null=True)
    requests_per_day = serializers.IntegerField(allow_null=True)
    concurrency = serializers.IntegerField(allow_null=True)
    requests_today = serializers.IntegerField(
        allow_null=True, help_text="counted where requests_per_day is set; null while that cannot be read"
    )
    windows = LimitWindowAnswer(many=True, help_text="of the limits of Tokens, the shortest period first")
    when_uncounted = serializers.ChoiceField(WhenUncounted.values, required=False, help_text="of the organization only")


EXAMPLE = OpenApiExample(
    "A team's budget",
    value={"tokens_per_hour": 20, "tokens_per_month": 5000, "requests_per_second": 10, "concurrency": 8},
    request_only=True,
)


class LimitListView(BillingView):
    """All limits."""

    @extend_schema(
        operation_id="limits",
        summary="List accounts with their limits and what is used, newest first",
        parameters=[
            *PAGE_PARAMETERS,
            OpenApiParameter("level", OpenApiTypes.STR, enum=Level.values, description="of this level only"),
        ],
        responses={200: page_of("LimitPage", LimitsAnswer), **problems(*READING, 422)},
    )
    @permitted(Permission.LIMITS_VIEW)
    def get(self, request: Request) -> Response:
        """List the wallet, team pools and sub-tokens, each with its own limits, none or many. Scope `limits.view`.

        A call passes only if its sub-token, every team above it and the organization have room.
        """
        level = request.query_params.get("level")
        if level is not None and level not in Level.values:
            raise invalid("level", "This must be organization, team or sub_token.")
        kinds = [KIND_OF_LEVEL[Level(level)]] if level else list(LEVEL_OF_KIND)
        page = paginate(request, Account.objects.filter(kind__in=kinds))
        return Response(page.answer(answers(request, page.rows)))


class LimitView(BillingView):
    """The limits of one account."""

    @extend_schema(
        operation_id="account_limits",
        summary="Show an account's limits",
        responses={200: LimitsAnswer, **problems(*READING, 404)},
    )
    @permitted(Permission.LIMITS_VIEW)
    def get(self, request: Request, account_id: uuid.UUID) -> Response:
        """Show the limits of a wallet, a team's pool or a sub-token's account. Scope `limits.view`."""
        return Response(answers(request, [_find(account_id)])[0])

    @extend_schema(
        operation_id="set_limits",
        summary="Set all limits of an account",
        request=LimitsRequest,
        examples=[EXAMPLE],
        responses={200: LimitsAnswer, **problems(*WRITING, 404)},
    )
    @permitted(Permission.LIMITS_MANAGE)
    def put(self, request: Request, account_id: uuid.UUID) -> Response:
        """Set all limits of an account at once; what is left out has none. Scope `limits.manage`.

        They bind at once, and count what was spent before in the periods that run: a limit below that refuses until its
        period is over. Of a sub-token, requests per second, burst and concurrency are those of its policy.
        """
        account = _find(account_id)
        body = LimitsRequest(data=request.data)
        body.is_valid(raise_exception=True)
        now, credential = timezone.now(), management_credential(request)
        policy = body.validated_data.get("when_uncounted")
        if policy is not None:
            if LEVEL_OF_KIND[AccountKind(account.kind)] != Level.ORGANIZATION:
                raise invalid("when_uncounted", "Only the organization decides this.")
            change_when_uncounted(
                organization=Organization.objects.get(id=credential.organization_id),
                policy=WhenUncounted(policy),
                actor=credential.actor,
                now=now,
            )
        set_limits(account_id=account_id, ceilings=body.ceilings(), actor=credential.actor, now=now)
        return Response(answers(request, [account])[0])


def answers(request: Request, accounts: list[Account]) -> list[dict[str, Any]]:
    """Return the answers of accounts, in their order."""
    organization_id, now = management_credential(request).organization_id, timezone.now()
    found = account_limits(accounts, now=now)
    today = requests_today(organization_id, found, now=now)
    policy = Organization.objects.values_list("when_uncounted", flat=True).get(id=organization_id)
    return [_answer(row, today.get(row.account.id), policy) for row in found]


def _answer(row: AccountLimits, today: int | None, when_uncounted: str) -> dict[str, Any]:
    limits, policy = row.limits, row.policy
    shown: dict[str, Any] = {
        "account": row.account.id,
        "parent": row.account.parent_id,
        "level": row.level,
        "name": row.name,
        "team": row.account.team_id,
        "sub_token": row.sub_token.id if row.sub_token else None,
        **{name: getattr(limits, column, None) for name, column in NAMES.items()},
        **{name: getattr(policy, name, None) for name in ("requests_per_second", "burst", "concurrency")},
        "requests_per_day": getattr(limits, "requests_per_day", None),
        "requests_today": today,
        "windows": row.states,
    }
    if row.level == Level.ORGANIZATION:
        shown["when_uncounted"] = when_uncounted
    return LimitsAnswer(shown).data


def _find(account_id: uuid.UUID) -> Account:
    account = Account.objects.filter(id=account_id, kind__in=list(LEVEL_OF_KIND)).first()
    if account is None:
        raise AccountUnknown("There is no such account.")
    return account
