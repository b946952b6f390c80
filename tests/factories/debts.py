"""Debts for tests, made as they come about. Each function writes rows, through the services."""

from __future__ import annotations

from datetime import datetime

from billing.enums import DebtCause
from billing.models import Debt
from billing.services import holds
from billing.services.takebacks import take_back
from tenants.actors import PLATFORM
from tenants.identifiers import new_id
from tenants.models import Organization
from tenants.scope import organization_scope, platform_scope
from tests.factories.billing import NOW, make_grant, make_hold, make_wallet


def make_debt(organization: Organization, mtok: int, *, reference: str = "dispute:1", now: datetime = NOW) -> Debt:
    """Let an organization spend a purchase of `mtok`, and lose a dispute about it."""
    wallet = make_wallet(organization)
    grant = make_grant(organization, mtok, priority=0, now=now)
    hold = make_hold(wallet, mtok, now=now)
    with platform_scope("test"):
        holds.capture_holds(captures=[holds.Capture(hold.hold_id, mtok, new_id())], now=now)
    with organization_scope(organization.id):
        take_back(
            grant=grant, mtok=mtok, cause=DebtCause.DISPUTE, reference=reference, reason="Lost", actor=PLATFORM, now=now
        )
        return Debt.objects.get(reference=reference)
