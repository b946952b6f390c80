from __future__ import annotations

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q

from billing.enums import TransferKind
from tenants.models.tenant import TenantModel, tenant_key


class Transfer(TenantModel):
    """One movement of Tokens, told by its entries, which sum to zero. Append-only."""

    kind = models.CharField(max_length=16, choices=TransferKind.choices)
    # Capped accounts that an allocation was drawn through, or that a reclaim or a reversal gave back to.
    path = ArrayField(models.UUIDField(), default=list, blank=True)
    # What a reversal takes back, in whole or in part.
    reverses = tenant_key("billing.Transfer", null=True, related_name="reversals", db_index=False)
    idempotency_key = models.CharField(max_length=255, null=True, blank=True)  # noqa: DJ001 null is never equal, so unkeyed rows may be many
    reference = models.CharField(max_length=200, blank=True, default="")
    reason = models.CharField(max_length=500, blank=True, default="")
    actor = models.CharField(max_length=254, blank=True, default="")

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["organization", "idempotency_key"], name="transfer_once_per_key"),
            models.CheckConstraint(condition=Q(kind__in=TransferKind.values), name="transfer_kind_known"),
        ]
        indexes = [
            models.Index(fields=["reverses"], condition=Q(reverses__isnull=False), name="transfer_reversal"),
            # The few that are looked for among the many captures.
            models.Index(
                fields=["organization", "id"], condition=~Q(kind=TransferKind.CAPTURE), name="transfer_but_captures"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.get_kind_display()} {self.id}"

    @property
    def amount_mtok(self) -> int:
        """How much moved: what its entries put into accounts (prefetch them for a list)."""
        return sum(entry.amount_mtok for entry in self.entries.all() if entry.amount_mtok > 0)


class Entry(TenantModel):
    """One leg of a transfer: so much of one grant into (positive) or out of (negative) one account. Append-only."""

    # Its accounts' composite foreign key already ties the row to a living organization; a second one would make every
    # capture lock the organization's row.
    organization = models.ForeignKey(
        "tenants.Organization",
        on_delete=models.PROTECT,
        db_column="org_id",
        related_name="+",
        db_index=False,
        db_constraint=False,
    )
    transfer = tenant_key("billing.Transfer", related_name="entries")
    account = tenant_key("billing.Account", related_name="entries", db_index=False)
    grant = tenant_key("billing.Grant", related_name="entries", db_index=False)
    amount_mtok = models.BigIntegerField()

    class Meta:
        verbose_name_plural = "entries"
        constraints = [models.CheckConstraint(condition=~Q(amount_mtok=0), name="entry_moves_something")]
        indexes = [models.Index(fields=["account", "transfer"], name="entry_by_account_and_transfer")]

    def __str__(self) -> str:
        return f"{self.amount_mtok} mtok in account {self.account_id}"
