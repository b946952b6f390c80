"""`/v1/alerts`, `/v1/alert_settings` and `/v1/alert_preferences`: what was raised, of what, and who is told."""

from __future__ import annotations

import uuid
from typing import Any

from django.utils import timezone
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from billing.api.alert_bodies import (
    AlertAnswer,
    AlertPreferencesAnswer,
    AlertPreferencesRequest,
    AlertSettingsAnswer,
    AlertSettingsRequest,
    MuteAnswer,
    MuteRequest,
)
from billing.api.problems import BillingView, invalid
from billing.enums import AlertRule
from billing.models import Alert
from billing.queries.alerts import alerts
from billing.services import alert_preferences as preferences
from billing.services.alert_settings import change_settings, settings_of
from billing.services.webhook_events import alert_data
from tenants.api.management import management_credential, permitted
from tenants.api.pagination import PAGE_PARAMETERS, paginate
from tenants.api.problems import Problem
from tenants.api.schema import IDEMPOTENCY_KEY, READING, WRITING, page_of, problems
from tenants.models import Membership, Organization
from tenants.permissions import Permission

SETTINGS_EXAMPLE = OpenApiExample("Earlier, and at the end", value={"levels": [50, 80, 100]}, request_only=True)
PREFERENCES_EXAMPLE = OpenApiExample(
    "Quiet nights, no mail of single sub-tokens",
    value={
        "subscriptions": {"sub_token_used": {"mail": False}},
        "quiet_from": "22:00",
        "quiet_until": "07:00",
        "time_zone": "Asia/Shanghai",
        "critical_passes": True,
    },
    request_only=True,
)
MUTE_EXAMPLE = OpenApiExample(
    "No unusual burn during a load test",
    value={"rule": "unusual_burn", "until": "2027-01-01T00:00:00Z"},
    request_only=True,
)


class AlertListView(BillingView):
    """What was raised."""

    @extend_schema(
        operation_id="alerts",
        summary="List alerts, latest first",
        parameters=[
            *PAGE_PARAMETERS,
            OpenApiParameter("rule", OpenApiTypes.STR, enum=AlertRule.values, description="of this rule only"),
            OpenApiParameter("subject", OpenApiTypes.UUID, description="about this sub-token, team or grant only"),
        ],
        responses={200: page_of("AlertPage", AlertAnswer), **problems(*READING, 422)},
    )
    @permitted(Permission.ALERTS_VIEW)
    def get(self, request: Request) -> Response:
        """List what was raised, latest first; also levels that were passed with a higher one. Scope `alerts.view`."""
        rule, subject = request.query_params.get("rule", ""), request.query_params.get("subject")
        if rule and rule not in AlertRule.values:
            raise invalid("rule", "There is no such rule.")
        page = paginate(request, alerts(rule=rule, subject_id=_uuid("subject", subject) if subject else None))
        organization = Organization.objects.get(id=management_credential(request).organization_id)
        return Response(page.answer([_answer(alert, organization) for alert in page.rows]))


class AlertView(BillingView):
    """One alert."""

    @extend_schema(
        operation_id="alert", summary="Show an alert", responses={200: AlertAnswer, **problems(*READING, 404)}
    )
    @permitted(Permission.ALERTS_VIEW)
    def get(self, request: Request, alert_id: uuid.UUID) -> Response:
        """Show an alert with its facts and words. Scope `alerts.view`."""
        alert = Alert.objects.filter(id=alert_id).first()
        if alert is None:
            raise Problem("not_found", "There is nothing here, or it is not yours to see.")
        organization = Organization.objects.get(id=alert.organization_id)
        return Response(_answer(alert, organization))


class AlertSettingsView(BillingView):
    """What the organization is told of."""

    @extend_schema(
        operation_id="alert_settings",
        summary="Show levels and rules",
        responses={200: AlertSettingsAnswer, **problems(*READING)},
    )
    @permitted(Permission.ALERTS_VIEW)
    def get(self, request: Request) -> Response:
        """Show the levels and rules of the organization's alerts. Scope `alerts.view`."""
        return Response(AlertSettingsAnswer(settings_of(management_credential(request).organization_id)).data)

    @extend_schema(
        operation_id="change_alert_settings",
        summary="Change levels and rules",
        request=AlertSettingsRequest,
        examples=[SETTINGS_EXAMPLE],
        responses={200: AlertSettingsAnswer, **problems(*WRITING)},
    )
    @permitted(Permission.ALERTS_MANAGE)
    def patch(self, request: Request) -> Response:
        """Change what is given, and leave the rest. Scope `alerts.manage`."""
        body = AlertSettingsRequest(data=request.data)
        body.is_valid(raise_exception=True)
        credential = management_credential(request)
        changed = change_settings(
            organization_id=credential.organization_id,
            **body.validated_data,
            actor=credential.actor,
            now=timezone.now(),
        )
        return Response(AlertSettingsAnswer(changed).data)


class AlertPreferencesView(BillingView):
    """What one member is told of."""

    @extend_schema(
        operation_id="alert_preferences",
        summary="Show what a member is told",
        responses={200: AlertPreferencesAnswer, **problems(*READING, 404)},
    )
    @permitted(Permission.MEMBERS_VIEW)
    def get(self, request: Request, user_id: uuid.UUID) -> Response:
        """Show of what, how and when a member is told. Scope `members.view`."""
        return Response(_choice(preferences.find_member(user_id)))

    @extend_schema(
        operation_id="change_alert_preferences",
        summary="Change what a member is told",
        request=AlertPreferencesRequest,
        examples=[PREFERENCES_EXAMPLE],
        responses={200: AlertPreferencesAnswer, **problems(*WRITING, 404)},
    )
    @permitted(Permission.MEMBERS_MANAGE)
    def patch(self, request: Request, user_id: uuid.UUID) -> Response:
        """Change what is given, and leave the rest. Scope `members.manage`."""
        body = AlertPreferencesRequest(data=request.data)
        body.is_valid(raise_exception=True)
        values = dict(body.validated_data)
        member = preferences.find_member(user_id)
        own = preferences.choice_of(member, now=timezone.now()).preferences
        if "quiet_from" in values or "quiet_until" in values:
            values["quiet"] = (values.pop("quiet_from", own.quiet_from), values.pop("quiet_until", own.quiet_until))
        preferences.change_choice(
            member=member,
            wanted=values.pop("subscriptions", None),
            **values,
            actor=management_credential(request).actor,
            now=timezone.now(),
        )
        return Response(_choice(member))


class MuteListView(BillingView):
    """Muting for a while."""

    @extend_schema(
        operation_id="mute_alerts",
        summary="Mute alerts for a member",
        request=MuteRequest,
        examples=[MUTE_EXAMPLE],
        parameters=[IDEMPOTENCY_KEY],
        responses={201: MuteAnswer, **problems(*WRITING, 404)},
    )
    @permitted(Permission.MEMBERS_MANAGE)
    def post(self, request: Request, user_id: uuid.UUID) -> Response:
        """Tell a member nothing of a rule (or of any) about a subject (or any) until a time. Scope `members.manage`."""
        body = MuteRequest(data=request.data)
        body.is_valid(raise_exception=True)
        values = body.validated_data
        muted = preferences.mute(
            member=preferences.find_member(user_id),
            rule=values.get("rule") or "",
            subject_id=values.get("subject"),
            until=values["until"],
            actor=management_credential(request).actor,
            now=timezone.now(),
        )
        return Response(MuteAnswer(muted).data, status=201)


class MuteView(BillingView):
    """One mute."""

    @extend_schema(
        operation_id="unmute_alerts",
        summary="End a mute",
        request=None,
        responses={200: AlertPreferencesAnswer, **problems(*WRITING, 404)},
    )
    @permitted(Permission.MEMBERS_MANAGE)
    def delete(self, request: Request, user_id: uuid.UUID, mute_id: uuid.UUID) -> Response:
        """Let a member hear of it again, and return what they are told now. Scope `members.manage`."""
        member = preferences.find_member(user_id)
        actor = management_credential(request).actor
        preferences.unmute(member=member, mute_id=mute_id, actor=actor, now=timezone.now())
        return Response(_choice(member))


def _answer(alert: Alert, organization: Organization) -> dict[str, Any]:
    said = {**alert_data(alert, organization), "announced": alert.announced, "facts": alert.facts}
    return AlertAnswer(said).data


def _choice(member: Membership) -> dict[str, Any]:
    choice = preferences.choice_of(member, now=timezone.now())
    own = choice.preferences
    return AlertPreferencesAnswer(
        {
            "member": member.user_id,
            "subscriptions": choice.wanted,
            "quiet_from": own.quiet_from,
            "quiet_until": own.quiet_until,
            "time_zone": own.time_zone,
            "critical_passes": own.critical_passes,
            "daily_digest": own.daily_digest,
            "digest_at": own.digest_at,
            "mutes": choice.mutes,
        }
    ).data


def _uuid(name: str, text: str) -> uuid.UUID:
    try:
        return uuid.UUID(text)
    except ValueError:
        raise invalid(name, "This must be an id.") from None
