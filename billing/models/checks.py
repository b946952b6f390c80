from __future__ import annotations

from django.db import models

from tenants.models.tenant import TenantModel


class LedgerCheck(TenantModel):
    """The last verification of one organization's ledger.

    Nothing is off where granted = available + held + frozen + consumed + expired + refunded, and `discrepancies` is
    empty.
    """

    checked_at = models.DateTimeField()
    granted_mtok = models.BigIntegerField()
    available_mtok = models.BigIntegerField()
    held_mtok = models.BigIntegerField()
    frozen_mtok = models.BigIntegerField(default=0, db_default=0)
    consumed_mtok = models.BigIntegerField()
    expired_mtok = models.BigIntegerField()
    refunded_mtok = models.BigIntegerField()
    # [{"check", "subject", "expected_mtok", "actual_mtok"}, ...]; empty when everything adds up.
    discrepancies = models.JSONField(default=list)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["organization"], name="ledger_check_once_per_organization")]

    def __str__(self) -> str:
        return f"Ledger check of {self.checked_at:%Y-%m-%d %H:%M}"

    @property
    def passed(self) -> bool:
        return not self.discrepancies
