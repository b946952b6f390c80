"""`GET /v1/balance` and `GET /v1/grants`: what there is to spend, and where it came from."""

from __future__ import annotations

from typing import cast

from django.utils import timezone
from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from billing.api.authentication import SubTokenAuthentication
from billing.api.fields import TokensField
from billing.api.problems import BillingView
from billing.enums import GrantSource
from billing.queries.balances import balance, organization_balance
from billing.queries.credentials import Credential
from billing.queries.debts import owed_mtok
from billing.queries.grants import frozen_of, grants, lots_of
from tenants.api.authentication import ManagementCredential, ManagementKeyAuthentication
from tenants.api.management import permitted
from tenants.api.pagination import PAGE_PARAMETERS, paginate
from tenants.api.schema import READING, page_of, problems
from tenants.api.views import ApiView
from tenants.permissions import Permission
from tenants.scope import organization_scope


class BalanceGrant(serializers.Serializer):
    """A grant, as far as it is left."""

    id = serializers.UUIDField()
    source = serializers.ChoiceField(GrantSource.values)  # type: ignore[assignment]
    tokens = TokensField(source="amount_mtok")
    remaining_tokens = TokensField(source="remaining_mtok")
    expires_at = serializers.DateTimeField(allow_null=True)


class BalanceAnswer(serializers.Serializer):
    """What there is to spend."""

    available_tokens = TokensField(source="available_mtok", help_text="what the next call can spend")
    held_tokens = TokensField(source="held_mtok", help_text="what running calls hold")
    frozen_tokens = TokensField(source="frozen_mtok", help_text="what a dispute about a payment keeps from being spent")
    debt_tokens = TokensField(
        source="debt_mtok",
        help_text="what the organization owes: spent, and paid back in money. Above 0 nothing is spent, calls are "
        "answered 403 `debt_outstanding`, and the next top-up settles it first",
    )
    grants = BalanceGrant(many=True, help_text="in the order in which they are spent")


class GrantAnswer(BalanceGrant):
    """A grant."""

    priority = serializers.IntegerField(help_text="lower is spent first")
    reason = serializers.CharField(allow_blank=True)
    reference = serializers.CharField(allow_blank=True)
    created_at = serializers.DateTimeField()


EXAMPLE = OpenApiExample(
    "A trial",
    value={
        "available_tokens": 9.3,
        "held_tokens": 0.7,
        "frozen_tokens": 0,
        "debt_tokens": 0,
        "grants": [
            {
                "id": "019aa3b2-7c1e-7c3a-9a55-0d5a3b6c1f10",
                "source": "trial",
                "tokens": 10,
                "remaining_tokens": 10,
                "expires_at": "2026-12-21T08:00:00Z",
            }
        ],
    },
    response_only=True,
    status_codes=["200"],
)


class BalanceView(ApiView):
    """What there is to spend."""

    authentication_classes = [SubTokenAuthentication, ManagementKeyAuthentication]

    @extend_schema(
        operation_id="balance",
        summary="Show what there is to spend",
        examples=[EXAMPLE],
        responses={200: BalanceAnswer, **problems(*READING)},
    )
    def get(self, request: Request) -> Response:
        """Show what there is to spend. Costs nothing.

        A sub-token sees its own: `grants` are its shares of them, and empty when it draws on its parent. A management
        key (scope `grants.view`) sees its organization's, over all accounts.
        """
        auth = cast("Credential | ManagementCredential", request.auth)
        if isinstance(auth, ManagementCredential):
            auth.require(Permission.GRANTS_VIEW)
        now = timezone.now()
        with organization_scope(auth.organization_id):
            if isinstance(auth, ManagementCredential):
                return Response(BalanceAnswer(organization_balance(auth.organization_id, now=now)).data)
            own = balance(auth.account_id, now=now)
            shown = {
                "available_mtok": own.available_mtok,
                "held_mtok": own.held_mtok,
                "frozen_mtok": frozen_of(auth.account_id),
                "debt_mtok": owed_mtok(auth.organization_id),
                "grants": lots_of(auth.account_id, now=now),
            }
        return Response(BalanceAnswer(shown).data)


class GrantListView(BillingView):
    """All grants."""

    @extend_schema(
        operation_id="grants",
        summary="List grants, newest first",
        parameters=PAGE_PARAMETERS,
        responses={200: page_of("GrantPage", GrantAnswer), **problems(*READING, 422)},
    )
    @permitted(Permission.GRANTS_VIEW)
    def get(self, request: Request) -> Response:
        """List what was ever credited to the organization, and what is left of it. Scope `grants.view`."""
        page = paginate(request, grants())
        return Response(page.answer(GrantAnswer(page.rows, many=True).data))
