from __future__ import annotations

from django.db import models
from django.db.models import ExpressionWrapper, F, Q

from billing.enums import DebtCause
from tenants.models.tenant import TenantModel, tenant_key


class Freeze(TenantModel):
    """A grant's Tokens may not be touched until this is thawed; what is held already resolves as ever.

    A grant may have several, one for each `reference` (what it is about); its lots are frozen while one is open.
    `Lot.frozen` repeats that for the burn order. Both change only under the locks of all accounts that have such lots.
    """

    grant = tenant_key("billing.Grant", related_name="freezes", db_index=False)
    reference = models.CharField(max_length=200)
    thawed_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["organization", "grant", "reference"], name="freeze_once_per_reference")
        ]

    def __str__(self) -> str:
        return f"Freeze of grant {self.grant_id} for {self.reference}"


class Debt(TenantModel):
    """Tokens that were spent, and paid back in money nevertheless: by a refund or a lost dispute.

    `owed_mtok` were spent of `grant`. `settled_mtok` were taken from purchases since, by transfers that bear the debt
    in their reference; `dropped_mtok` are asked for no longer: forgiven, or, with `voided_at`, because the refund or
    the dispute came to nothing. While anything is left of any debt the organization spends nothing. Changes under the
    lock of the wallet.
    """

    grant = tenant_key("billing.Grant", related_name="debts", db_index=False)
    cause = models.CharField(max_length=16, choices=DebtCause.choices)
    # What it is about: "refund:<id>", "dispute:<id>".
    reference = models.CharField(max_length=200)
    owed_mtok = models.BigIntegerField()
    settled_mtok = models.BigIntegerField(default=0)
    dropped_mtok = models.BigIntegerField(default=0)
    voided_at = models.DateTimeField(null=True, blank=True)
    # A column, so that a call finds the debts that are left with one look at an index that is nearly always empty.
    outstanding = models.GeneratedField(
        expression=ExpressionWrapper(
            Q(owed_mtok__gt=F("settled_mtok") + F("dropped_mtok")), output_field=models.BooleanField()
        ),
        output_field=models.BooleanField(),
        db_persist=True,
    )

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["organization", "reference"], name="debt_once_per_reference"),
            models.CheckConstraint(condition=Q(cause__in=DebtCause.values), name="debt_cause_known"),
            models.CheckConstraint(
                condition=Q(owed_mtok__gt=0, settled_mtok__gte=0, dropped_mtok__gte=0)
                & Q(owed_mtok__gte=F("settled_mtok") + F("dropped_mtok")),
                name="debt_settled_within_owed",
            ),
        ]
        indexes = [models.Index(fields=["organization"], condition=Q(outstanding=True), name="debt_outstanding")]

    def __str__(self) -> str:
        return f"Debt of {self.left_mtok} mtok for {self.reference}"

    @property
    def left_mtok(self) -> int:
        """What is still owed."""
        return self.owed_mtok - self.settled_mtok - self.dropped_mtok
