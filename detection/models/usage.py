from __future__ import annotations

from django.db import models
from django.db.models import Index, UniqueConstraint

from tenants.models import TenantModel
from tenants.models.tenant import tenant_key


class Counted(TenantModel):
    """Finished calls of one kind in one span of time (UTC), and what was captured for them.

    Only the SQL function detection_count_usage writes it, in the transaction that finishes the calls and captures
    their Tokens, so it says what the ledger says. A call counts when it is finished, not when it was made.
    """

    # Rows of many sub-tokens at once would queue for the organization's row.
    organization = models.ForeignKey(
        "tenants.Organization",
        on_delete=models.PROTECT,
        db_column="org_id",
        related_name="+",
        db_index=False,
        db_constraint=False,
    )
    model_version = models.ForeignKey(
        "detection.ModelVersion", on_delete=models.PROTECT, related_name="+", db_index=False
    )
    calls = models.BigIntegerField(default=0)
    succeeded = models.BigIntegerField(default=0)
    failed = models.BigIntegerField(default=0)
    cached = models.BigIntegerField(default=0)
    charged_mtok = models.BigIntegerField(default=0)

    class Meta:
        abstract = True


class CountedBySubToken(Counted):
    """The same for each sub-token."""

    sub_token = tenant_key("billing.SubToken", db_index=False)

    class Meta:
        abstract = True


class HourlyUsage(CountedBySubToken):
    """Usage by the hour; forgotten when the calls themselves are."""

    hour = models.DateTimeField()

    class Meta:
        constraints = [
            UniqueConstraint(fields=["organization", "hour", "sub_token", "model_version"], name="hourly_usage_once")
        ]
        indexes = [Index(fields=["hour"], name="hourly_usage_by_age")]

    def __str__(self) -> str:
        return f"{self.hour:%Y-%m-%d %H}:00 {self.sub_token_id}"


class DailyUsage(CountedBySubToken):
    """Usage by the day, kept for ever."""

    day = models.DateField()

    class Meta:
        constraints = [
            UniqueConstraint(fields=["organization", "day", "sub_token", "model_version"], name="daily_usage_once")
        ]

    def __str__(self) -> str:
        return f"{self.day} {self.sub_token_id}"


class WeeklyUsage(CountedBySubToken):
    """Usage by the week (from Monday) that is long over, summed up once from its days, which change no more.

    So that a month of a thousand sub-tokens is read from a third of the rows. A week is here whole or not at all.
    """

    week = models.DateField()

    class Meta:
        constraints = [
            UniqueConstraint(fields=["organization", "week", "sub_token", "model_version"], name="weekly_usage_once")
        ]

    def __str__(self) -> str:
        return f"{self.week} {self.sub_token_id}"


class TagUsage(CountedBySubToken):
    """Usage by the day and tag, kept for ever. A call counts once for each of its tags, and once without a name.

    The row without a name is what lets a reader tell how much of a day bore any tag at all. A sub-token that brings
    more than a thousand different tags in a day has the rest counted as the value OTHER of their name.
    """

    OTHER = "(other)"

    day = models.DateField()
    name = models.CharField(max_length=40, blank=True)
    value = models.CharField(max_length=120, blank=True)

    class Meta:
        constraints = [
            UniqueConstraint(
                fields=["organization", "day", "sub_token", "model_version", "name", "value"], name="tag_usage_once"
            )
        ]

    def __str__(self) -> str:
        return f"{self.day} {self.name}={self.value}"


class OrganizationHour(Counted):
    """Usage of a whole organization by the hour, so that its pages read as few rows with a thousand sub-tokens as with
    one; forgotten when the calls themselves are."""

    hour = models.DateTimeField()

    class Meta:
        constraints = [
            UniqueConstraint(fields=["organization", "hour", "model_version"], name="organization_hour_once")
        ]
        indexes = [Index(fields=["hour"], name="organization_hour_by_age")]

    def __str__(self) -> str:
        return f"{self.hour:%Y-%m-%d %H}:00"


class OrganizationDay(Counted):
    """Usage of a whole organization by the day, kept for ever."""

    day = models.DateField()

    class Meta:
        constraints = [UniqueConstraint(fields=["organization", "day", "model_version"], name="organization_day_once")]

    def __str__(self) -> str:
        return f"{self.day}"


class OrganizationTag(Counted):
    """Usage of a whole organization by the day and tag, kept for ever: what TagUsage says, over all sub-tokens."""

    day = models.DateField()
    name = models.CharField(max_length=40, blank=True)
    value = models.CharField(max_length=120, blank=True)

    class Meta:
        constraints = [
            UniqueConstraint(
                fields=["organization", "day", "name", "value", "model_version"], name="organization_tag_once"
            )
        ]

    def __str__(self) -> str:
        return f"{self.day} {self.name}={self.value}"
