"""`/v1/plan`: which plan the organization is on, what a change would bring, and changing it; `/v1/boosts`."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from django.utils import timezone
from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from billing.api.fields import TokensField
from billing.api.problems import BillingView
from billing.api.topups import PAYING, TopUpAnswer, buyer_of
from billing.enums import Currency, SubscriptionStatus
from billing.models import Plan, Subscription
from billing.queries.limits import plan_hour
from billing.queries.plans import boost_offers, boosts_ahead, plans_listed, subscription
from billing.queries.pools import wallet
from billing.services import boost_orders, plan_orders
from billing.services.plan_orders import Change, ChangeKind
from tenants.api.management import idempotency_key, management_credential, permitted
from tenants.api.schema import IDEMPOTENCY_KEY, READING, WRITING, problems
from tenants.api.serializers import StrictSerializer
from tenants.errors import NotFound
from tenants.permissions import Permission

CHANGE_STATES = ("done", "scheduled", "payment_needed")


class PlanPriceAnswer(serializers.Serializer):
    """What a plan costs per month, without tax."""

    currency = serializers.ChoiceField(Currency.values)
    price_minor = serializers.IntegerField(help_text="in the currency's minor unit: fen, cent")


class PlanAnswer(serializers.Serializer):
    """What a plan gives and allows an organization. Null: no ceiling."""

    plan = serializers.CharField(source="key", help_text="its key, by which it is named everywhere")
    name = serializers.CharField()
    tokens_per_month = TokensField(source="monthly_mtok")
    tokens_per_hour = TokensField(source="tokens_per_hour_mtok", allow_null=True)
    requests_per_second = serializers.FloatField(allow_null=True)
    concurrency = serializers.IntegerField(allow_null=True)
    weight = serializers.IntegerField(help_text="share of busy workers")
    sub_token_days = serializers.IntegerField(help_text="longest life of a sub-token")
    models = serializers.ListField(child=serializers.CharField(), help_text="empty for all")
    prices = PlanPriceAnswer(many=True, help_text="empty: not sold, or it costs nothing")


class BoostOfferAnswer(serializers.Serializer):
    """All ceilings of the plan times `factor`, for some hours."""

    id = serializers.UUIDField()
    name = serializers.CharField()
    factor = serializers.FloatField()
    hours = serializers.IntegerField()
    currency = serializers.ChoiceField(Currency.values)
    price_minor = serializers.IntegerField()


class PlansAnswer(serializers.Serializer):
    """What is offered, the lowest plan first."""

    plans = PlanAnswer(many=True)
    boosts = BoostOfferAnswer(many=True)


class BoostAnswer(serializers.Serializer):
    """A boost that runs, or is to come."""

    name = serializers.CharField()
    factor = serializers.FloatField()
    starts_at = serializers.DateTimeField()
    ends_at = serializers.DateTimeField()


class OwnPlanAnswer(serializers.Serializer):
    """The organization's plan."""

    plan = PlanAnswer()
    status = serializers.ChoiceField(SubscriptionStatus.values)
    currency = serializers.CharField(allow_blank=True, help_text="in which it is paid; empty where it costs nothing")
    period_starts_at = serializers.DateTimeField()
    period_ends_at = serializers.DateTimeField()
    next_plan = serializers.CharField(allow_null=True, help_text="what it changes to when the period ends")
    pending_plan = serializers.CharField(allow_null=True, help_text="what it changes to once that is paid")
    payment_url = serializers.CharField(allow_blank=True, help_text="where an open payment is completed")
    grace_ends_at = serializers.DateTimeField(allow_null=True, help_text="how long the plan stays unpaid")
    used_tokens_this_hour = TokensField(allow_null=True, help_text="of tokens_per_hour; null without a ceiling")
    boosts = BoostAnswer(many=True)


class PlanChangeRequest(StrictSerializer):
    """The plan to change to."""

    plan = serializers.CharField(max_length=40, help_text="of /v1/plans")
    currency = serializers.ChoiceField(Currency.values, required=False, help_text="of the first payment")
    as_of = serializers.DateTimeField(required=False, help_text="of the preview that was shown")


class PlanConfirmRequest(PlanChangeRequest):
    """The plan to change to, and what a preview said it costs."""

    expected_minor = serializers.IntegerField(
        required=False, help_text="today_minor of the preview: if it is another by now, nothing is done (409)"
    )


class PlanPreviewAnswer(serializers.Serializer):
    """What a change would bring, to the cent and the Token. Money in the currency's minor unit."""

    kind = serializers.ChoiceField([kind.value for kind in ChangeKind])
    before = serializers.CharField()
    after = serializers.CharField()
    currency = serializers.CharField()
    as_of = serializers.DateTimeField(help_text="from when the rest of the period is reckoned; good for 15 minutes")
    acts_at = serializers.DateTimeField()
    today_minor = serializers.IntegerField(help_text="with the tax that is known")
    today_tax_minor = serializers.IntegerField(allow_null=True, help_text="null: worked out where it is paid")
    today_tokens = TokensField(source="today_mtok")
    renews_at = serializers.DateTimeField()
    renewal_minor = serializers.IntegerField(help_text="per month, without tax")
    renewal_tokens = TokensField(source="renewal_mtok")


class PlanChangeAnswer(serializers.Serializer):
    """What became of a change."""

    state = serializers.ChoiceField(CHANGE_STATES, help_text="scheduled: for the end of the period")
    payment_url = serializers.CharField(source="url", allow_blank=True, help_text="where a person pays")


class BoostRequest(StrictSerializer):
    """The boost to buy."""

    boost = serializers.UUIDField(help_text="an id of `boosts` in /v1/plans")


class BoostsAnswer(serializers.Serializer):
    """Boosts that run or are to come, the earliest first."""

    boosts = BoostAnswer(many=True)


PREVIEW = OpenApiExample(
    "An upgrade in mid-period",
    value={
        "kind": "upgrade",
        "before": "basic",
        "after": "advanced",
        "currency": "CNY",
        "as_of": "2026-11-28T12:00:00Z",
        "acts_at": "2026-11-28T12:00:00Z",
        "today_minor": 40000,
        "today_tax_minor": 0,
        "today_tokens": 45000,
        "renews_at": "2026-12-13T12:00:00Z",
        "renewal_minor": 89900,
        "renewal_tokens": 100000,
    },
    response_only=True,
    status_codes=["200"],
)
CHANGED = OpenApiExample(
    "To be paid", value={"state": "payment_needed", "payment_url": "https://checkout.stripe.com/c/pay/cs_live_a1b2"},
    response_only=True, status_codes=["200"],
)  # fmt: skip


class PlanListView(BillingView):
    """What plans there are."""

    @extend_schema(
        operation_id="plans",
        summary="List the plans and boosts on sale",
        responses={200: PlansAnswer, **problems(*READING)},
    )
    @permitted(Permission.GRANTS_VIEW)
    def get(self, request: Request) -> Response:
        """List what can be had, the lowest plan first. Scope `grants.view`."""
        return Response(PlansAnswer({"plans": [_plan(plan) for plan in plans_listed()], "boosts": boost_offers()}).data)


class PlanView(BillingView):
    """The organization's plan."""

    @extend_schema(
        operation_id="plan",
        summary="Show the organization's plan",
        responses={200: OwnPlanAnswer, **problems(*READING, 404)},
    )
    @permitted(Permission.GRANTS_VIEW)
    def get(self, request: Request) -> Response:
        """Show the plan, its period, what comes next and how much of the hour is used. Scope `grants.view`."""
        return Response(OwnPlanAnswer(_own(subscription())).data)

    @extend_schema(
        operation_id="change_plan",
        summary="Change the plan",
        parameters=[IDEMPOTENCY_KEY],
        request=PlanConfirmRequest,
        examples=[CHANGED],
        responses={200: PlanChangeAnswer, **problems(*WRITING, *PAYING)},
    )
    @permitted(Permission.BILLING_MANAGE, scoped=False, once=True)
    def post(self, request: Request) -> Response:
        """Change to a plan: upwards at once, once it is paid; downwards when the period ends.

        The first payment is made by a person at `payment_url`; later ones by the saved card, and only where that needs
        its owner there is a `payment_url` again. Doing it twice changes nothing twice: with the same `Idempotency-Key`
        the second gets the first answer, else a `conflict`. Scope `billing.manage`.
        """
        body = PlanConfirmRequest(data=request.data)
        body.is_valid(raise_exception=True)
        credential = management_credential(request)
        change = plan_orders.change_plan(
            organization_id=credential.organization_id,
            plan_key=body.validated_data["plan"],
            currency=body.validated_data.get("currency", ""),
            as_of=body.validated_data.get("as_of"),
            expected_minor=body.validated_data.get("expected_minor"),
            buyer=buyer_of(credential.organization_id, credential.actor),
            now=timezone.now(),
        )
        return _changed(change)


class PlanPreviewView(BillingView):
    """What a change would bring."""

    @extend_schema(
        operation_id="preview_plan",
        summary="See what a change of plan would bring",
        request=PlanChangeRequest,
        examples=[PREVIEW],
        responses={200: PlanPreviewAnswer, **problems(*WRITING, *PAYING)},
    )
    @permitted(Permission.BILLING_MANAGE, scoped=False)
    def post(self, request: Request) -> Response:
        """Say what is paid and given today and when the period ends; nothing is changed. Scope `billing.manage`."""
        body = PlanChangeRequest(data=request.data)
        body.is_valid(raise_exception=True)
        preview = plan_orders.preview_change(
            organization_id=management_credential(request).organization_id,
            plan_key=body.validated_data["plan"],
            currency=body.validated_data.get("currency", ""),
            as_of=body.validated_data.get("as_of"),
            now=timezone.now(),
        )
        shown = asdict(preview) | {
            "before": preview.before.key,
            "after": preview.after.key,
            "today_minor": preview.today_minor,
        }
        return Response(PlanPreviewAnswer(shown).data)


class CancelPlanView(BillingView):
    """Ending the plan."""

    @extend_schema(
        operation_id="cancel_plan",
        summary="End the plan with its period",
        parameters=[IDEMPOTENCY_KEY],
        request=None,
        responses={200: PlanChangeAnswer, **problems(*WRITING, *PAYING)},
    )
    @permitted(Permission.BILLING_MANAGE, scoped=False, once=True)
    def post(self, request: Request) -> Response:
        """Let the plan end with its period; until then it can be resumed. Scope `billing.manage`."""
        credential = management_credential(request)
        buyer = buyer_of(credential.organization_id, credential.actor)
        return _changed(
            plan_orders.cancel_plan(organization_id=credential.organization_id, buyer=buyer, now=timezone.now())
        )


class ResumePlanView(BillingView):
    """Taking back what is scheduled."""

    @extend_schema(
        operation_id="resume_plan",
        summary="Take back what is scheduled for the end of the period",
        parameters=[IDEMPOTENCY_KEY],
        request=None,
        responses={200: PlanChangeAnswer, **problems(*WRITING, *PAYING)},
    )
    @permitted(Permission.BILLING_MANAGE, scoped=False, once=True)
    def post(self, request: Request) -> Response:
        """Let the plan go on as it is. Scope `billing.manage`."""
        credential = management_credential(request)
        return _changed(
            plan_orders.resume_plan(
                organization_id=credential.organization_id, actor=credential.actor, now=timezone.now()
            )
        )


class BoostListView(BillingView):
    """Raising the ceilings for some hours."""

    @extend_schema(
        operation_id="boosts",
        summary="List the boosts that run or are to come",
        responses={200: BoostsAnswer, **problems(*READING)},
    )
    @permitted(Permission.GRANTS_VIEW)
    def get(self, request: Request) -> Response:
        """List what raises the ceilings now or later. Scope `grants.view`."""
        return Response(BoostsAnswer({"boosts": boosts_ahead(timezone.now())}).data)

    @extend_schema(
        operation_id="buy_boost",
        summary="Begin to buy a boost",
        parameters=[IDEMPOTENCY_KEY],
        request=BoostRequest,
        responses={201: TopUpAnswer, **problems(*WRITING, *PAYING)},
    )
    @permitted(Permission.BILLING_MANAGE, scoped=False)
    def post(self, request: Request) -> Response:
        """Begin a payment; a person makes it at `checkout_url`, and the ceilings are raised the moment it is paid.

        One that is bought while another runs begins when that ends. The same request with the same `Idempotency-Key` is
        the same payment. Scope `billing.manage`.
        """
        body = BoostRequest(data=request.data)
        body.is_valid(raise_exception=True)
        credential, now = management_credential(request), timezone.now()
        payment = boost_orders.begin_boost(
            organization_id=credential.organization_id,
            offer_id=body.validated_data["boost"],
            buyer=buyer_of(credential.organization_id, credential.actor),
            idempotency_key=idempotency_key(request) or "",
            now=now,
        )
        replayed = {} if payment.created_at == now else {"Idempotent-Replayed": "true"}
        return Response(TopUpAnswer(payment).data, status=201, headers=replayed)


def _plan(plan: Plan) -> dict[str, Any]:
    names = ("key", "name", "monthly_mtok", "tokens_per_hour_mtok", "requests_per_second", "concurrency", "weight")
    return {
        **{name: getattr(plan, name) for name in (*names, "sub_token_days", "models")},
        "prices": sorted(plan.prices.all(), key=lambda price: price.currency),
    }


def _own(row: Subscription | None) -> dict[str, Any]:
    if row is None:
        raise NotFound
    now = timezone.now()
    used = plan_hour(wallet().id, now=now)
    return {
        "plan": _plan(row.plan),
        "status": row.status,
        "currency": row.currency,
        "period_starts_at": row.period_starts_at,
        "period_ends_at": row.period_ends_at,
        "next_plan": row.next_plan.key if row.next_plan else None,
        "pending_plan": row.pending_plan.key if row.pending_plan else None,
        "payment_url": row.pending_url,
        "grace_ends_at": row.grace_ends_at,
        "used_tokens_this_hour": used.used_mtok if used else None,
        "boosts": boosts_ahead(now),
    }


def _changed(change: Change) -> Response:
    return Response(PlanChangeAnswer(change).data)
