"""Verifying the audit log: every organization's chain again from its events."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from tenants.models import AuditCheck
from tenants.queries.audit_chain import ChainReport, read_chain
from tenants.queries.organizations import every_organization
from tenants.scope import platform_scope
from tenants.services.audit import seal_events_of


@dataclass(frozen=True)
class AuditReport:
    """The sums over all verified organizations, and by short name the first hundred where something was found."""

    organizations: int
    events: int
    finding_count: int
    off: dict[str, ChainReport]

    @property
    def passed(self) -> bool:
        """Return whether nothing was found anywhere."""
        return self.finding_count == 0


def verify_audit(
    *,
    now: datetime,
    organization_slug: str | None = None,
    each: Callable[[ChainReport], None] = lambda report: None,
) -> AuditReport:
    """Verify every organization's chain (or one's), keep each result for the portal, and return the report.

    What waits is sealed first. One short transaction for each organization, and no lock while reading: safe beside
    traffic. `each` is told of every chain, so that its end can leave the database's keeping.
    """
    organizations, events, count = 0, 0, 0
    off: dict[str, ChainReport] = {}
    for organization_id, slug in every_organization(organization_slug):
        report = verify_chain(organization_id=organization_id, now=now)
        each(report)
        organizations += 1
        events += report.events
        count += report.finding_count
        if not report.passed and len(off) < 100:
            off[slug] = report
    return AuditReport(organizations, events, count, off)


def verify_chain(*, organization_id: uuid.UUID, now: datetime) -> ChainReport:
    """Verify one organization's chain, keep the result and return it. Opens its own scope."""
    seal_events_of(organization_id=organization_id, now=now)
    with platform_scope("verify audit log", patient=True):
        report = read_chain(organization_id, now)
        AuditCheck.objects.create(
            organization_id=organization_id,
            created_at=now,
            events=report.events,
            waiting=report.waiting,
            sequence=report.sequence,
            hash=report.hash,
            finding_count=report.finding_count,
            findings=report.findings,
        )
    return report
