"""`/v1/debts`: Tokens that were spent and paid back in money, and settling them."""

from __future__ import annotations

from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from billing.api.fields import TokensField
from billing.api.problems import BillingView
from billing.enums import DebtCause
from billing.queries.debts import debts, owed_mtok
from billing.services.debts import settle_from_wallet
from tenants.api.management import management_credential, permitted
from tenants.api.pagination import PAGE_PARAMETERS, paginate
from tenants.api.schema import IDEMPOTENCY_KEY, READING, WRITING, page_of, problems
from tenants.permissions import Permission


class DebtAnswer(serializers.Serializer):
    """A debt and what is left of it."""

    id = serializers.UUIDField()
    cause = serializers.ChoiceField(DebtCause.values)
    reference = serializers.CharField(help_text="`refund:<id>` or `dispute:<id>`")
    grant = serializers.UUIDField(source="grant_id", help_text="whose Tokens were spent")
    tokens = TokensField(source="owed_mtok")
    settled_tokens = TokensField(source="settled_mtok", help_text="taken from purchases since")
    dropped_tokens = TokensField(source="dropped_mtok", help_text="asked for no longer")
    remaining_tokens = TokensField(source="left_mtok", help_text="above 0 nothing is spent")
    created_at = serializers.DateTimeField()


class SettledAnswer(serializers.Serializer):
    """What was settled, and what is still owed."""

    settled_tokens = TokensField()
    debt_tokens = TokensField()


class DebtListView(BillingView):
    """All debts."""

    @extend_schema(
        operation_id="debts",
        summary="List debts, newest first",
        parameters=PAGE_PARAMETERS,
        responses={200: page_of("DebtPage", DebtAnswer), **problems(*READING, 422)},
    )
    @permitted(Permission.GRANTS_VIEW)
    def get(self, request: Request) -> Response:
        """List what the organization owes or owed, and why. Scope `grants.view`.

        Tokens that were spent and then paid back, by a refund or a lost dispute, are owed. While any are left, calls
        are answered 403 `debt_outstanding`. The next top-up settles them first.
        """
        page = paginate(request, debts(management_credential(request).organization_id))
        return Response(page.answer(DebtAnswer(page.rows, many=True).data))


class SettleDebtView(BillingView):
    """Settling."""

    @extend_schema(
        operation_id="settle_debts",
        summary="Settle debts from the wallet",
        request=None,
        parameters=[IDEMPOTENCY_KEY],
        responses={200: SettledAnswer, **problems(*WRITING, 404, 429)},
    )
    @permitted(Permission.BILLING_MANAGE)
    def post(self, request: Request) -> Response:
        """Settle what is owed from unspent purchases in the wallet, as far as they go, the oldest debt first.

        429 `insufficient_tokens` when nothing that was bought lies there: take Tokens back from pools and sub-tokens,
        or top up. 404 `not_found` when nothing is owed. Scope `billing.manage`.
        """
        credential = management_credential(request)
        settled = settle_from_wallet(
            organization_id=credential.organization_id, actor=credential.actor, now=timezone.now()
        )
        left = owed_mtok(credential.organization_id)
        return Response(SettledAnswer({"settled_tokens": settled, "debt_tokens": left}).data)
