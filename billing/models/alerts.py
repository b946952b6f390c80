from __future__ import annotations

from datetime import time

from django.contrib.postgres.fields import ArrayField
from django.core.serializers.json import DjangoJSONEncoder
from django.db import models
from django.db.models import Q
from django.utils import timezone

from billing.enums import AlertChannel, AlertRule, Severity
from tenants.models.tenant import TenantModel, tenant_key

LEVELS = [80, 95, 100]
ERROR_RUN = 10
BURN_SCORE = 3.5


def default_levels() -> list[int]:
    return list(LEVELS)


class AlertSettings(TenantModel):
    """What an organization wants to be told of. An organization without a row has the defaults.

    `levels` are percents, ascending. `error_run` is how many calls of a sub-token must fail in a row, `burn_score` how
    far a day's burn must lie from the usual (docs/alerts.md has the formula).
    """

    levels = ArrayField(models.SmallIntegerField(), default=default_levels)
    error_run = models.PositiveSmallIntegerField(default=ERROR_RUN)
    burn_score = models.FloatField(default=BURN_SCORE)
    rules_off = ArrayField(models.CharField(max_length=24), default=list)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["organization"], name="alert_settings_once_per_organization"),
            models.CheckConstraint(condition=Q(error_run__gt=0) & Q(burn_score__gt=0), name="alert_settings_positive"),
        ]

    def __str__(self) -> str:
        return f"Alerts at {self.levels}"


class Crossing(TenantModel):
    """A level that was reached, written by a trigger in the transaction of the money; a task makes alerts of it.

    Either an account (or, with a `span`, a limit of it) with the `levels` that it passed in that `period`, or a grant
    whose lots must be added up anew. `refused` says that a call found too little left, `due_at` when this is looked at.
    """

    account = tenant_key("billing.Account", null=True, db_index=False)
    grant = tenant_key("billing.Grant", null=True, db_index=False)
    span = models.CharField(max_length=8, blank=True, default="")
    levels = ArrayField(models.SmallIntegerField(), default=list)
    period = models.CharField(max_length=80, blank=True, default="")
    used_mtok = models.BigIntegerField(default=0)
    whole_mtok = models.BigIntegerField(default=0)
    refused = models.BooleanField(default=False, db_default=False)
    due_at = models.DateTimeField(default=timezone.now)

    class Meta:
        indexes = [models.Index(fields=["due_at"], name="crossing_due")]

    def __str__(self) -> str:
        return f"{self.levels} of {self.grant_id or self.account_id}"


class Alert(TenantModel):
    """Something that happened and that people want to know, once per rule, subject, level and period.

    `announced` is False for a level that was passed together with a higher one, which was told of instead. Subjects
    are kept by id and name: the alert outlives them.
    """

    rule = models.CharField(max_length=24, choices=AlertRule.choices)
    subject_kind = models.CharField(max_length=16)
    subject_id = models.UUIDField()
    subject_name = models.CharField(max_length=200, blank=True)
    level = models.SmallIntegerField(null=True)
    period = models.CharField(max_length=80, blank=True)
    severity = models.CharField(max_length=8, choices=Severity.choices)
    facts = models.JSONField(encoder=DjangoJSONEncoder)
    announced = models.BooleanField(default=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["organization", "rule", "subject_id", "level", "period"],
                nulls_distinct=False,
                name="alert_once_per_level_and_period",
            )
        ]
        indexes = [models.Index(fields=["organization", "-id"], name="alert_newest")]

    def __str__(self) -> str:
        return f"{self.rule} {self.level or ''} {self.subject_name}"


class AlertNotice(TenantModel):
    """An alert in the hands of one member. `in_inbox` says that the portal shows it, `for_digest` that mail waits."""

    user = models.ForeignKey("tenants.User", on_delete=models.CASCADE, related_name="+", db_index=False)
    alert = tenant_key("billing.Alert", related_name="notices", db_index=False)
    in_inbox = models.BooleanField(default=True)
    for_digest = models.BooleanField(default=False)
    read_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["organization", "user", "alert"], name="alert_notice_once_per_member")
        ]
        indexes = [
            models.Index(
                fields=["organization", "user"], condition=Q(read_at__isnull=True, in_inbox=True), name="notice_unread"
            ),
            models.Index(fields=["organization", "user"], condition=Q(for_digest=True), name="notice_for_digest"),
            models.Index(fields=["organization", "alert"], name="notice_of_alert"),
        ]

    def __str__(self) -> str:
        return f"{self.alert_id} for {self.user_id}"


class AlertPreferences(TenantModel):
    """When a member of an organization wants mail; one without a row gets it at once.

    `quiet_from` to `quiet_until` are in `time_zone`, and span midnight when they end earlier than they begin. With
    `daily_digest` mail comes once a day at `digest_at`. `critical_passes` lets 100 % and the like through both.
    """

    user = models.ForeignKey("tenants.User", on_delete=models.CASCADE, related_name="+", db_index=False)
    quiet_from = models.TimeField(null=True, blank=True)
    quiet_until = models.TimeField(null=True, blank=True)
    time_zone = models.CharField(max_length=64, default="UTC")
    critical_passes = models.BooleanField(default=True)
    daily_digest = models.BooleanField(default=False)
    digest_at = models.TimeField(default=time(8))
    digest_sent_on = models.DateField(null=True, editable=False)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["organization", "user"], name="alert_preferences_once_per_member"),
            models.CheckConstraint(
                condition=Q(quiet_from__isnull=True, quiet_until__isnull=True)
                | Q(quiet_from__isnull=False, quiet_until__isnull=False),
                name="alert_preferences_quiet_has_both_ends",
            ),
        ]

    def __str__(self) -> str:
        return f"Preferences of {self.user_id}"


class AlertSubscription(TenantModel):
    """Whether a member wants to be told of a rule by a channel, where that differs from their role's default."""

    user = models.ForeignKey("tenants.User", on_delete=models.CASCADE, related_name="+", db_index=False)
    rule = models.CharField(max_length=24, choices=AlertRule.choices)
    channel = models.CharField(max_length=8, choices=AlertChannel.choices)
    wanted = models.BooleanField()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["organization", "user", "rule", "channel"], name="alert_subscription_once_per_channel"
            )
        ]

    def __str__(self) -> str:
        return f"{self.rule} by {self.channel}: {self.wanted}"


class AlertMute(TenantModel):
    """A member does not want to hear of a rule (empty: of any) about a subject (none: about any) until a time."""

    user = models.ForeignKey("tenants.User", on_delete=models.CASCADE, related_name="+", db_index=False)
    rule = models.CharField(max_length=24, choices=AlertRule.choices, blank=True)
    subject_id = models.UUIDField(null=True)
    subject_name = models.CharField(max_length=200, blank=True)
    until = models.DateTimeField()

    class Meta:
        indexes = [models.Index(fields=["organization", "user"], name="alert_mute_of_member")]

    def __str__(self) -> str:
        return f"{self.rule or 'everything'} until {self.until}"
