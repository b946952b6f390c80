"""What the billing page shows of money that went back: refunds under way, open disputes, and what is owed since."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from billing.enums import DisputeStatus, RefundStatus
from billing.queries.debts import owed_mtok
from billing.queries.refunds import disputes, refunds
from tenants.views.access import ConsoleRequest

SHOWN = 5


def money_back(request: ConsoleRequest, now: datetime) -> dict[str, Any] | None:
    """Return the latest refunds and disputes and what is owed; None where there never was any of it."""
    organization_id = request.organization.id
    found = {
        "refunds": list(refunds(organization_id)[:SHOWN]),
        "disputes": list(disputes(organization_id)[:SHOWN]),
        "owed_mtok": owed_mtok(organization_id),
    }
    if not any(found.values()):
        return None
    found["open_disputes"] = disputes(organization_id).filter(status=DisputeStatus.OPEN).count()
    found["under_way"] = (
        refunds(organization_id).filter(status__in=[RefundStatus.RESERVED, RefundStatus.PENDING]).count()
    )
    return found
