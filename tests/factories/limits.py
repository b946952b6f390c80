"""Limits for tests, set through the service."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.db import connection

from billing.models import Account, LimitWindow
from billing.queries.limits import limits_of
from billing.services.limits import Ceilings, set_limits
from tenants.actors import PLATFORM
from tenants.scope import organization_scope, platform_scope
from tests.factories.billing import NOW


def make_limits(account: Account, *, now: datetime = NOW, **ceilings: Any) -> None:
    """Set all limits of an account: `hour=`, `day=`, `month=`, `total=` in mtok, the others by their own names."""
    names = {"hour": "tokens_per_hour_mtok", "day": "tokens_per_day_mtok", "month": "tokens_per_month_mtok"}
    names["total"] = "tokens_total_mtok"
    values = {names.get(name, name): value for name, value in ceilings.items()}
    with organization_scope(account.organization_id):
        set_limits(account_id=account.id, ceilings=Ceilings(**values), actor=PLATFORM, now=now)


def used(account: Account, *, now: datetime = NOW) -> dict[str, int]:
    """Return what the account's limits have counted in the periods that run, in mtok."""
    with organization_scope(account.organization_id):
        return {state.period.value: state.used_mtok for state in limits_of(account.id, now=now)}


_OFF = """
SELECT w.account_id, w.period, w.starts_at, w.used_mtok, coalesce(counted.mtok, 0) AS counted
FROM billing_limitwindow w
CROSS JOIN LATERAL (
    WITH RECURSIVE below AS (
        SELECT w.account_id AS id
        UNION ALL
        SELECT child.id FROM below JOIN billing_account child ON child.parent_id = below.id
    )
    SELECT sum(CASE h.status WHEN 'held' THEN h.amount_mtok ELSE h.captured_mtok END) AS mtok
    FROM below JOIN billing_hold h ON h.account_id = below.id
    WHERE h.created_at >= w.starts_at AND h.created_at < CASE w.period
        WHEN 'total' THEN 'infinity'::timestamptz
        WHEN 'month' THEN (w.starts_at AT TIME ZONE 'UTC' + interval '1 month') AT TIME ZONE 'UTC'
        WHEN 'planhour' THEN w.starts_at + interval '1 hour'
        ELSE w.starts_at + ('1 ' || w.period)::interval END
) counted
WHERE w.used_mtok <> coalesce(counted.mtok, 0)
"""


def assert_limits_clean() -> None:
    """Fail unless every window says exactly what the holds of its period on and below its account say."""
    with platform_scope("test"), connection.cursor() as cursor:
        cursor.execute(_OFF)
        assert cursor.fetchall() == []


def windows(account: Account) -> list[LimitWindow]:
    """Return all windows of an account, the latest first."""
    with organization_scope(account.organization_id):
        return list(LimitWindow.objects.filter(account=account).order_by("-starts_at", "period"))
