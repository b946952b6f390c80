from __future__ import annotations

from django.db import models
from django.db.models import Q
from django.utils import timezone

from billing.enums import AutoTopUpStatus, Currency, StopReason
from tenants.models.tenant import TenantModel


class AutoTopUp(TenantModel):
    """When and what an organization buys by itself with its saved card, and how that is.

    Once spending leaves the wallet less than `threshold_mtok`, a package is bought, or `tokens_mtok` at the price of
    free amounts. `due_at` is when somebody has to look next (null: when the wallet's trigger says so); it is changed
    under the locks of the wallet and of this row, in that order. Payments before `counted_from` do not count for how
    many there may be.
    """

    status = models.CharField(max_length=12, choices=AutoTopUpStatus.choices, default=AutoTopUpStatus.OFF)
    stop_reason = models.CharField(max_length=12, choices=StopReason.choices, blank=True, default="")
    threshold_mtok = models.BigIntegerField()
    package = models.ForeignKey(
        "billing.Package", null=True, blank=True, on_delete=models.PROTECT, related_name="+", db_index=False
    )
    tokens_mtok = models.BigIntegerField(null=True, blank=True)
    currency = models.CharField(max_length=3, choices=Currency.choices)
    # Of a calendar month in UTC, with tax.
    ceiling_minor = models.BigIntegerField()
    most_per_hour = models.PositiveSmallIntegerField(default=2)
    most_per_day = models.PositiveSmallIntegerField(default=5)

    due_at = models.DateTimeField(null=True, blank=True)
    failures = models.PositiveSmallIntegerField(default=0)
    counted_from = models.DateTimeField(default=timezone.now)
    updated_at = models.DateTimeField(default=timezone.now)
    updated_by = models.CharField(max_length=254, blank=True, default="")

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["organization"], name="auto_top_up_once_per_organization"),
            models.CheckConstraint(condition=Q(status__in=AutoTopUpStatus.values), name="auto_top_up_status_known"),
            models.CheckConstraint(
                condition=Q(status="stopped") & ~Q(stop_reason="") | ~Q(status="stopped") & Q(stop_reason=""),
                name="auto_top_up_stopped_for_a_reason",
            ),
            models.CheckConstraint(
                condition=Q(package__isnull=False, tokens_mtok__isnull=True)
                | Q(package__isnull=True, tokens_mtok__gt=0),
                name="auto_top_up_buys_one_thing",
            ),
            models.CheckConstraint(
                condition=Q(threshold_mtok__gt=0, ceiling_minor__gt=0, most_per_hour__gt=0, most_per_day__gt=0),
                name="auto_top_up_bounds_positive",
            ),
        ]
        indexes = [models.Index(fields=["due_at"], condition=Q(due_at__isnull=False), name="auto_top_up_due")]

    def __str__(self) -> str:
        return f"Auto top-up ({self.get_status_display()})"

    @property
    def is_live(self) -> bool:
        """Return whether it buys by itself, now or later."""
        return self.status not in {AutoTopUpStatus.OFF, AutoTopUpStatus.STOPPED}
