from __future__ import annotations

from django.contrib.postgres.fields import ArrayField
from django.contrib.postgres.indexes import BrinIndex
from django.db import models
from django.db.models import Q

from billing.enums import HoldStatus
from tenants.models.tenant import TenantModel, tenant_key


class Hold(TenantModel):
    """Tokens set aside for one piece of work, until it is captured, released, or its deadline passes.

    `account` was asked; `funding` is the ring-fenced account whose lots it took, and `path` the capped accounts between
    them. `lots` is `[[lot id, mtok], ...]` in burn order: a release gives back, and a capture burns, exactly those.
    """

    # See Entry.organization: holds of many accounts at once would queue for the organization's row.
    organization = models.ForeignKey(
        "tenants.Organization",
        on_delete=models.PROTECT,
        db_column="org_id",
        related_name="+",
        db_index=False,
        db_constraint=False,
    )
    account = tenant_key("billing.Account", db_index=False)
    funding = tenant_key("billing.Account", db_index=False)
    path = ArrayField(models.UUIDField(), default=list, blank=True)
    amount_mtok = models.BigIntegerField()
    captured_mtok = models.BigIntegerField(default=0)
    status = models.CharField(max_length=16, choices=HoldStatus.choices, default=HoldStatus.HELD)
    lots = models.JSONField()
    idempotency_key = models.CharField(max_length=255)
    owner_id = models.UUIDField()
    deadline = models.DateTimeField()
    resolved_at = models.DateTimeField(null=True, blank=True)
    transfer = tenant_key("billing.Transfer", null=True, db_index=False)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["organization", "idempotency_key"], name="hold_once_per_key"),
            # hold_resolves_once stands in billing/migrations/0001_accounts.py: Q cannot say it as shortly.
            models.CheckConstraint(condition=Q(amount_mtok__gt=0), name="hold_amount_positive"),
        ]
        indexes = [
            models.Index(fields=["deadline"], condition=Q(status=HoldStatus.HELD), name="hold_open_by_deadline"),
            models.Index(fields=["account"], condition=Q(status=HoldStatus.HELD), name="hold_open_by_account"),
            # For limits that are set in mid-period; it costs a new hold next to nothing.
            BrinIndex(fields=["created_at"], name="hold_by_time"),
        ]

    def __str__(self) -> str:
        return f"Hold {self.id}"


class DailyBurn(TenantModel):
    """Tokens captured from one account on one day (UTC): the charts' rollup, written by the capture itself."""

    account = tenant_key("billing.Account", db_index=False)
    day = models.DateField()
    captured_mtok = models.BigIntegerField(default=0)
    captures = models.BigIntegerField(default=0)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["organization", "day", "account"], name="daily_burn_once_per_account")
        ]

    def __str__(self) -> str:
        return f"{self.day} account {self.account_id}"
