"""Verifying the ledger: every balance again from the entries, organization by organization."""

from __future__ import annotations

import uuid
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from billing.models import LedgerCheck
from billing.queries.verification import LedgerTotals, Recomputed, recompute
from tenants.queries.organizations import every_organization
from tenants.scope import platform_scope


@dataclass(frozen=True)
class OrganizationReport:
    organization_id: uuid.UUID
    slug: str
    discrepancies: list[dict[str, Any]]


@dataclass(frozen=True)
class LedgerReport:
    """The sums over all verified organizations, and those where something is off."""

    organizations: int
    totals: LedgerTotals
    discrepancy_count: int
    off: list[OrganizationReport]

    @property
    def passed(self) -> bool:
        return self.discrepancy_count == 0


def verify_ledger(*, now: datetime, organization_slug: str | None = None) -> LedgerReport:
    """Verify every organization's ledger (or one's), keep each result for the portal, and return the report.

    One short transaction for each organization, one statement on one snapshot, no locks: safe beside traffic. Of
    organizations that are off, the first hundred are reported in full and all are counted.
    """
    organizations, discrepancies, totals = 0, 0, LedgerTotals()
    off: list[OrganizationReport] = []
    for organization_id, slug in every_organization(organization_slug):
        with platform_scope("verify ledger", patient=True):
            recomputed = recompute(organization_id)
            _keep(organization_id, recomputed, now)
        organizations += 1
        totals += recomputed.totals
        discrepancies += recomputed.discrepancy_count
        if recomputed.discrepancy_count and len(off) < 100:
            off.append(OrganizationReport(organization_id, slug, recomputed.discrepancies))
    return LedgerReport(organizations, totals, discrepancies, off)


def _keep(organization_id: uuid.UUID, recomputed: Recomputed, now: datetime) -> None:
    LedgerCheck.objects.update_or_create(
        organization_id=organization_id,
        defaults={"checked_at": now, "discrepancies": recomputed.discrepancies, **asdict(recomputed.totals)},
    )
