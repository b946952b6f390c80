from __future__ import annotations

from django.db import models
from django.db.models import Q

from billing.enums import PLAN_HOUR, LimitPeriod
from tenants.models.tenant import TenantModel, tenant_key


class Limits(TenantModel):
    """Ceilings on what an account and all accounts below it may use; null means none.

    The wallet's row is the organization's, a pool's the team's, a sub-token account's the sub-token's own. Which levels
    bind an account stands in `Account.limited_by`. The row's lock guards the account's windows; it is taken after all
    locks of accounts, in order of account. A sub-token's requests per second and concurrency stand in its policy.
    """

    account = tenant_key("billing.Account", db_index=False)
    tokens_per_hour_mtok = models.BigIntegerField(null=True, blank=True)
    tokens_per_day_mtok = models.BigIntegerField(null=True, blank=True)
    tokens_per_month_mtok = models.BigIntegerField(null=True, blank=True)
    tokens_total_mtok = models.BigIntegerField(null=True, blank=True)
    requests_per_second = models.DecimalField(max_digits=9, decimal_places=3, null=True, blank=True)
    # The ceiling of the organization's plan, on its wallet's row; a boost is reckoned in when it is looked at.
    plan_tokens_per_hour_mtok = models.BigIntegerField(null=True, editable=False)
    burst = models.PositiveIntegerField(null=True, blank=True)
    requests_per_day = models.PositiveIntegerField(null=True, blank=True)
    concurrency = models.PositiveIntegerField(null=True, blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["organization", "account"], name="limits_once_per_account"),
            models.CheckConstraint(
                condition=(Q(tokens_per_hour_mtok__isnull=True) | Q(tokens_per_hour_mtok__gte=0))
                & (Q(tokens_per_day_mtok__isnull=True) | Q(tokens_per_day_mtok__gte=0))
                & (Q(tokens_per_month_mtok__isnull=True) | Q(tokens_per_month_mtok__gte=0))
                & (Q(tokens_total_mtok__isnull=True) | Q(tokens_total_mtok__gte=0)),
                name="limits_of_tokens_not_negative",
            ),
            models.CheckConstraint(
                condition=(Q(requests_per_second__isnull=True) | Q(requests_per_second__gt=0))
                & (Q(burst__isnull=True) | Q(burst__gt=0))
                & (Q(requests_per_day__isnull=True) | Q(requests_per_day__gt=0))
                & (Q(concurrency__isnull=True) | Q(concurrency__gt=0)),
                name="limits_of_requests_positive",
            ),
        ]

    def __str__(self) -> str:
        return f"Limits of account {self.account_id}"

    def ceilings(self) -> dict[LimitPeriod, int]:
        """Return the ceilings in mtok of the periods that have one."""
        found = {
            LimitPeriod.HOUR: self.tokens_per_hour_mtok,
            LimitPeriod.DAY: self.tokens_per_day_mtok,
            LimitPeriod.MONTH: self.tokens_per_month_mtok,
            LimitPeriod.TOTAL: self.tokens_total_mtok,
        }
        return {period: ceiling for period, ceiling in found.items() if ceiling is not None}


class LimitWindow(TenantModel):
    """What was used of one limit in one period (UTC; the total's began in 1970).

    `used_mtok` = held + captured of all holds that were placed in the period on the account or below it: what a hold
    gives back leaves the window in which it was counted, whenever that is. There is a row for each period in which a
    limit was in force and something was spent.
    """

    account = tenant_key("billing.Account", db_index=False)
    # One of LimitPeriod, or PLAN_HOUR.
    period = models.CharField(max_length=8)
    starts_at = models.DateTimeField()
    used_mtok = models.BigIntegerField(default=0)
    # What must be used for the next level of an alert (billing/migrations/sql/watch_limits.sql); None after the last.
    watch_at_mtok = models.BigIntegerField(null=True, editable=False)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["organization", "account", "period", "starts_at"], name="limit_window_once_per_period"
            ),
            models.CheckConstraint(condition=Q(used_mtok__gte=0), name="limit_window_not_negative"),
            models.CheckConstraint(
                condition=Q(period__in=[*LimitPeriod.values, PLAN_HOUR]), name="limit_window_period_known"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.period} {self.starts_at} of account {self.account_id}"
