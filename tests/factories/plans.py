"""Plans for tests, through the services."""

from __future__ import annotations

from datetime import datetime, timedelta
from decimal import Decimal
from itertools import count
from typing import Any

from billing.models import Boost, Plan, Subscription
from billing.services import plans, subscriptions
from tenants.actors import PLATFORM
from tenants.models import Organization
from tenants.scope import organization_scope
from tests.factories.billing import NOW

_numbers = count(1)


def make_plan(key: str | None = None, *, now: datetime = NOW, **terms: Any) -> Plan:
    """Offer a plan, without any ceiling unless told otherwise."""
    number = next(_numbers)
    key = key or f"plan-{number}"
    values = {"name": key.title(), "position": 1000 + number, **terms}
    return plans.set_plan(key=key, terms=plans.PlanOffer(**values), now=now)


def put_on(organization: Organization, plan: Plan | str, *, now: datetime = NOW) -> Subscription:
    """Put an organization that has a wallet on a plan, as staff do."""
    key = plan if isinstance(plan, str) else plan.key
    return subscriptions.give_plan(
        organization_id=organization.id, plan_key=key, reason="test", actor=PLATFORM, now=now
    )


def make_boost(organization: Organization, factor: str = "2", *, starts_at: datetime = NOW, hours: float = 1) -> Boost:
    """Raise an organization's ceilings for some hours."""
    ends_at = starts_at + timedelta(hours=hours)
    with organization_scope(organization.id):
        return Boost.objects.create(
            organization=organization,
            name="Boost",
            factor=Decimal(factor),
            hours=max(1, int(hours)),
            starts_at=starts_at,
            paid_until=ends_at,
            ends_at=ends_at,
        )
