"""Spending, and what it raised, for the tests of alerts."""

from __future__ import annotations

from datetime import datetime, timedelta

from django.utils import timezone

from billing.enums import AlertRule
from billing.models import Account, Alert
from billing.services import holds
from billing.services.crossings import raise_crossings
from tenants.identifiers import new_id
from tenants.models import Organization
from tenants.scope import organization_scope, platform_scope
from tests.factories.billing import make_hold


def spend(account: Account, mtok: int) -> None:
    """Hold and capture so much of an account, as one call does."""
    now = timezone.now()
    hold = make_hold(account, mtok, now=now)
    with platform_scope("test"):
        captured = holds.capture_holds(captures=[holds.Capture(hold.hold_id, mtok, new_id())], now=now)
    assert captured[hold.hold_id].outcome == "captured"


def raise_all(now: datetime | None = None) -> None:
    """Let the scheduler's task look at everything that was crossed."""
    raise_crossings(now=now or timezone.now() + timedelta(seconds=1))


def alerts_of(organization: Organization, rule: AlertRule | None = None) -> list[tuple[str, int | None, bool]]:
    """Return (rule, level, announced) of what was raised, the earliest first."""
    with organization_scope(organization.id):
        found = Alert.objects.order_by("created_at", "level")
        return list((found.filter(rule=rule) if rule else found).values_list("rule", "level", "announced"))


def levels_of(organization: Organization, rule: AlertRule = AlertRule.LIMIT_USED) -> list[int | None]:
    """Return which levels were raised by a rule, the earliest first."""
    return [level for _, level, _ in alerts_of(organization, rule)]
