"""The bodies of alerts and webhooks."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from billing.enums import AlertChannel, AlertRule, DeliveryStatus, Severity, WebhookKind
from billing.models import AlertMute, WebhookDelivery, WebhookEndpoint
from tenants.api.serializers import StrictSerializer


class AlertSubject(serializers.Serializer):
    """What an alert is about, by id and by its name then."""

    kind = serializers.ChoiceField(["grant", "sub_token", "team", "organization", "account"])
    id = serializers.UUIDField()
    name = serializers.CharField()


class AlertAnswer(serializers.Serializer):
    """Something that happened, once per rule, subject, level and period."""

    id = serializers.UUIDField()
    rule = serializers.ChoiceField(AlertRule.values)
    level = serializers.IntegerField(allow_null=True, help_text="percent; null where the rule has none")
    severity = serializers.ChoiceField(Severity.values)
    subject = AlertSubject()
    period = serializers.CharField(
        help_text="what it is once of: a period's number, a limit's window, a day, or nothing"
    )
    title = serializers.CharField()
    text = serializers.CharField(help_text="what happened and what to do")
    url = serializers.CharField(help_text="where to do it")
    announced = serializers.BooleanField(
        help_text="false for a level that was passed together with a higher one, which was told of instead"
    )
    facts = serializers.DictField(help_text="the numbers, amounts in thousandths of a Token (…_mtok)")
    created_at = serializers.DateTimeField()


class AlertSettingsRequest(StrictSerializer):
    """What to change."""

    levels = serializers.ListField(
        child=serializers.IntegerField(min_value=1, max_value=100), min_length=1, max_length=10, required=False
    )
    error_run = serializers.IntegerField(min_value=1, max_value=1000, required=False)
    burn_score = serializers.FloatField(min_value=0.1, max_value=100, required=False)
    rules_off = serializers.ListField(child=serializers.ChoiceField(AlertRule.values), max_length=20, required=False)


class AlertSettingsAnswer(serializers.Serializer):
    """What the organization is told of."""

    levels = serializers.ListField(child=serializers.IntegerField(), help_text="percents, ascending")
    error_run = serializers.IntegerField(help_text="failed calls in a row of one sub-token")
    burn_score = serializers.FloatField(help_text="robust standard deviations above the last 14 days")
    rules_off = serializers.ListField(child=serializers.ChoiceField(AlertRule.values))


class MuteRequest(StrictSerializer):
    """What not to hear of, and until when."""

    rule = serializers.ChoiceField(AlertRule.values, required=False, allow_null=True, help_text="null for any")
    subject = serializers.UUIDField(required=False, allow_null=True, help_text="null for any")
    until = serializers.DateTimeField()


class MuteAnswer(serializers.Serializer):
    """A mute that has not ended."""

    id = serializers.UUIDField()
    rule = serializers.SerializerMethodField()
    subject = serializers.UUIDField(source="subject_id", allow_null=True)
    until = serializers.DateTimeField()

    @extend_schema_field({"type": ["string", "null"], "enum": [*AlertRule.values, None]})
    def get_rule(self, muted: AlertMute) -> str | None:
        """Return the rule, None for any."""
        return muted.rule or None


CHANNELS = {"type": "object", "properties": {channel: {"type": "boolean"} for channel in AlertChannel.values}}
SUBSCRIPTIONS = {
    "type": "object",
    "properties": {rule: {**CHANNELS, "additionalProperties": False} for rule in AlertRule.values},
    "additionalProperties": False,
}


@extend_schema_field(SUBSCRIPTIONS)
class SubscriptionsField(serializers.Field):
    """Rule -> channel -> wanted or not."""

    def to_internal_value(self, data: Any) -> dict[str, dict[str, bool]]:
        """Return the choices, every one a known rule, a known channel and a yes or no."""
        known = isinstance(data, dict) and all(
            rule in AlertRule.values
            and isinstance(channels, dict)
            and all(channel in AlertChannel.values and isinstance(yes, bool) for channel, yes in channels.items())
            for rule, channels in data.items()
        )
        if not known:
            raise serializers.ValidationError('This must be as {"pool_used": {"mail": true, "inbox": true}}.')
        return data

    def to_representation(self, value: dict[str, dict[str, bool]]) -> dict[str, dict[str, bool]]:
        """Return the choices."""
        return value


@extend_schema_field({"type": "string", "pattern": "^([01][0-9]|2[0-3]):[0-5][0-9]$", "example": "22:00"})
class OptionalClockField(serializers.TimeField):
    """A time of day, HH:MM, or null."""


@extend_schema_field({"type": "string", "pattern": "^([01][0-9]|2[0-3]):[0-5][0-9]$", "example": "08:00"})
class ClockField(serializers.TimeField):
    """A time of day, HH:MM."""


CLOCK: dict[str, Any] = {"format": "%H:%M", "input_formats": ["%H:%M"]}


class AlertPreferencesRequest(StrictSerializer):
    """What to change."""

    subscriptions = SubscriptionsField(required=False)
    quiet_from = OptionalClockField(**CLOCK, required=False, allow_null=True)
    quiet_until = OptionalClockField(**CLOCK, required=False, allow_null=True)
    time_zone = serializers.CharField(max_length=64, required=False, help_text="as Asia/Shanghai")
    critical_passes = serializers.BooleanField(required=False)
    daily_digest = serializers.BooleanField(required=False)
    digest_at = ClockField(**CLOCK, required=False)


class AlertPreferencesAnswer(serializers.Serializer):
    """Of what, how and when a member is told."""

    member = serializers.UUIDField(help_text="the person's id")
    subscriptions = SubscriptionsField()
    quiet_from = OptionalClockField(**CLOCK, allow_null=True)
    quiet_until = OptionalClockField(**CLOCK, allow_null=True)
    time_zone = serializers.CharField()
    critical_passes = serializers.BooleanField(help_text="whether what is critical ignores quiet hours and digest")
    daily_digest = serializers.BooleanField(help_text="one mail a day instead of one for each alert")
    digest_at = ClockField(**CLOCK)
    mutes = MuteAnswer(many=True)


class EndpointRequest(StrictSerializer):
    """A new endpoint."""

    name = serializers.CharField(max_length=120)
    kind = serializers.ChoiceField(WebhookKind.values, default=WebhookKind.SIGNED.value)
    url = serializers.CharField(max_length=500, help_text="https, reachable from the internet")
    rules = serializers.ListField(
        child=serializers.ChoiceField(AlertRule.values), max_length=20, required=False, help_text="empty: all"
    )


class EndpointChange(StrictSerializer):
    """What to change of an endpoint."""

    name = serializers.CharField(max_length=120, required=False)
    url = serializers.CharField(max_length=500, required=False)
    rules = serializers.ListField(child=serializers.ChoiceField(AlertRule.values), max_length=20, required=False)
    enabled = serializers.BooleanField(required=False)


class EndpointAnswer(serializers.ModelSerializer):
    """An endpoint, without its secret."""

    rules = serializers.ListField(child=serializers.ChoiceField(AlertRule.values), help_text="empty: all")
    kind = serializers.ChoiceField(WebhookKind.values)
    resting_until = serializers.DateTimeField(
        allow_null=True, help_text="it failed lately; nothing is sent before this time"
    )
    previous_secret_ends_at = serializers.DateTimeField(source="previous_ends_at", allow_null=True)

    class Meta:
        model = WebhookEndpoint
        fields = [
            "id",
            "name",
            "kind",
            "url",
            "rules",
            "enabled",
            "resting_until",
            "previous_secret_ends_at",
            "created_at",
        ]


class NewEndpointAnswer(EndpointAnswer):
    """An endpoint with its signing secret: here and nowhere else."""

    secret = serializers.CharField(
        allow_null=True, help_text="shown once; null for Slack, and when the answer is given again"
    )

    class Meta(EndpointAnswer.Meta):
        fields = [*EndpointAnswer.Meta.fields, "secret"]


class DeletedEndpoint(serializers.Serializer):
    """What went with the endpoint."""

    deleted_deliveries = serializers.IntegerField()


class Attempt(serializers.Serializer):
    """What came of one attempt."""

    at = serializers.DateTimeField()
    status = serializers.IntegerField(allow_null=True, help_text="null: no answer came")
    took_ms = serializers.IntegerField()
    error = serializers.CharField(allow_blank=True)
    excerpt = serializers.CharField(allow_blank=True, help_text="how the answer's body begins")


class DeliveryAnswer(serializers.ModelSerializer):
    """One event on its way to one endpoint."""

    endpoint = serializers.UUIDField(source="endpoint_id")
    status = serializers.ChoiceField(DeliveryStatus.values)
    body = serializers.DictField(help_text="what is sent")
    log = Attempt(many=True, help_text="the last 20 attempts, the latest last")
    next_attempt_at = serializers.SerializerMethodField()

    class Meta:
        model = WebhookDelivery
        fields = [
            "id",
            "endpoint",
            "event_id",
            "event_type",
            "status",
            "attempts",
            "next_attempt_at",
            "delivered_at",
            "body",
            "log",
            "created_at",
        ]

    @extend_schema_field({"type": ["string", "null"], "format": "date-time"})
    def get_next_attempt_at(self, delivery: WebhookDelivery) -> Any:
        """Return when it is tried next, None when it is done with."""
        return delivery.due_at if delivery.status == DeliveryStatus.QUEUED else None
