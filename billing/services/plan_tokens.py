"""The Tokens that plans give: once for each period, however often it is asked."""

from __future__ import annotations

from datetime import datetime, timedelta

from django.db import transaction

from billing.enums import GrantSource, PeriodReason
from billing.models import Plan, PlanPeriod, Subscription
from billing.services.grants import issue_grant
from tenants.actors import PLATFORM


def give_plan_tokens(
    *,
    subscription: Subscription,
    plan: Plan,
    key: str,
    reason: PeriodReason = PeriodReason.PERIOD,
    tokens_mtok: int,
    starts_at: datetime,
    ends_at: datetime,
    now: datetime,
) -> PlanPeriod:
    """Give `tokens_mtok` of a plan for one period, unless that was done under this key; return what was done then.

    They expire with the period, or so many days after its begin as the plan says. `subscription` is locked, which
    makes one caller wait for another; then the wallet and the issued account. Needs the organization's scope.
    """
    with transaction.atomic():
        Subscription.objects.select_for_update().get(id=subscription.id)
        earlier = PlanPeriod.objects.filter(organization_id=subscription.organization_id, key=key).first()
        if earlier is not None:
            return earlier
        expires_at = starts_at + timedelta(days=plan.tokens_valid_days) if plan.tokens_valid_days else ends_at
        grant = None
        if tokens_mtok > 0 and expires_at > now:
            grant = issue_grant(
                organization_id=subscription.organization_id,
                tokens_mtok=tokens_mtok,
                source=GrantSource.PLAN,
                expires_at=expires_at,
                reason=plan.name,
                reference=key,
                idempotency_key=f"plan:{key}",
                actor=PLATFORM.name,
                now=now,
            )
        return PlanPeriod.objects.create(
            organization_id=subscription.organization_id,
            created_at=now,
            plan=plan,
            key=key,
            reason=reason,
            starts_at=starts_at,
            ends_at=ends_at,
            tokens_mtok=tokens_mtok if grant else 0,
            grant=grant,
        )
