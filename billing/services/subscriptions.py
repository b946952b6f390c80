"""Which plan an organization is on. What is bought at Stripe comes in through billing/services/plan_changes.py."""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import Any

import structlog
from django.db import connection, transaction

from billing.enums import SubscriptionStatus
from billing.errors import PlanNotForSale, PlanUnchanged, ReasonMissing
from billing.models import Plan, PlanPeriod, Subscription
from billing.periods import month_around, months_after
from billing.queries.credentials import forget_credentials
from billing.queries.plans import find_plan, initial_plan
from billing.services.limits import set_plan_ceiling
from billing.services.plan_tokens import give_plan_tokens
from tenants.actors import Actor
from tenants.scope import organization_scope, platform_scope
from tenants.services import audit

log = structlog.get_logger(__name__)


def begin_subscription(*, organization_id: uuid.UUID, plan: Plan | None = None, now: datetime) -> Subscription:
    """Put an organization that has no plan yet on one (the initial one), and return its subscription.

    Safe to repeat and to race. Needs the organization's scope, and its wallet.
    """
    found = Subscription.objects.filter(organization_id=organization_id).first()
    if found is not None:
        return found
    plan = plan or initial_plan()
    row = Subscription(
        organization_id=organization_id,
        plan=plan,
        anchor_at=now,
        period_starts_at=now,
        period_ends_at=months_after(now, 1),
        created_at=now,
        updated_at=now,
    )
    Subscription.objects.bulk_create([row], ignore_conflicts=True)
    subscription = locked_subscription(organization_id)
    set_plan_ceiling(tokens_per_hour_mtok=subscription.plan.tokens_per_hour_mtok, now=now)
    if subscription.id == row.id:
        give_month(subscription, now=now)
    return subscription


def locked_subscription(organization_id: uuid.UUID) -> Subscription:
    """Lock an organization's plan until the transaction ends, and return it fresh. Comes before all accounts' locks.

    Without a join: PostgreSQL would look for the plan of before with the row of after, and find neither.
    """
    return Subscription.objects.select_for_update().get(organization_id=organization_id)


def enter_plan(
    subscription: Subscription, plan: Plan, *, actor: Actor, reason: str = "", now: datetime, **changes: Any
) -> None:
    """Put a locked subscription on a plan, its other fields as `changes` says, and let its ceilings act at once.

    Credentials elsewhere follow within a second. Locks the organization's accounts where the Tokens per hour change.
    """
    before, subscription.plan = subscription.plan, plan
    for name, value in changes.items():
        setattr(subscription, name, value)
    subscription.updated_at = now
    subscription.save()
    set_plan_ceiling(tokens_per_hour_mtok=plan.tokens_per_hour_mtok, now=now)
    if before.id != plan.id:
        audit.record(
            organization_id=subscription.organization_id,
            actor=actor,
            action="plan.changed",
            target_kind="organization",
            target_id=subscription.organization_id,
            before={"plan": before.key},
            after={"plan": plan.key},
            reason=reason,
            now=now,
        )
    transaction.on_commit(forget_credentials)


def give_plan(*, organization_id: uuid.UUID, plan_key: str, reason: str, actor: Actor, now: datetime) -> Subscription:
    """Put an organization on a plan by hand, as staff do: at once, with the plan's Tokens of a month that begins now.

    Opens its own scope. Raises PlanUnknown, PlanUnchanged, ReasonMissing, PlanNotForSale (a
    subscription is paid: `plan_endings.end_paid_plan` first).
    """
    if not reason.strip():
        raise ReasonMissing("A plan is given by hand for a reason.")
    with organization_scope(organization_id):
        plan, subscription = find_plan(plan_key), locked_subscription(organization_id)
        if subscription.plan_id == plan.id:
            raise PlanUnchanged("The organization is on this plan already.")
        if subscription.stripe_id is not None:
            raise PlanNotForSale("The organization pays for its plan: end that first.")
        enter_plan(
            subscription,
            plan,
            actor=actor,
            reason=reason,
            now=now,
            status=SubscriptionStatus.ACTIVE,
            grace_ends_at=None,
            next_plan=None,
            by_staff=not plan.initial,
            anchor_at=now,
            period_starts_at=now,
            period_ends_at=months_after(now, 1),
        )
        give_month(subscription, now=now)
    return subscription


def give_month(subscription: Subscription, *, now: datetime) -> PlanPeriod:
    """Give the Tokens of the period that runs, of a plan that is not paid at Stripe, once."""
    return give_plan_tokens(
        subscription=subscription,
        plan=subscription.plan,
        key=f"period:{subscription.period_starts_at.isoformat()}:{subscription.plan.key}",
        tokens_mtok=subscription.plan.monthly_mtok,
        starts_at=subscription.period_starts_at,
        ends_at=subscription.period_ends_at,
        now=now,
    )


def begin_due_periods(*, now: datetime) -> int:
    """Begin the next month of every plan that is not paid at Stripe and whose month is over; return how many.

    Months that went by unseen are not made up for. One short transaction for each organization, safe to repeat and to
    race.
    """
    with platform_scope("find plans whose month is over"):
        due = list(
            Subscription.objects.filter(stripe_id=None, period_ends_at__lte=now)
            .order_by("period_ends_at")
            .values_list("organization_id", flat=True)
        )
    for organization_id in due:
        with organization_scope(organization_id):
            subscription = locked_subscription(organization_id)
            if subscription.stripe_id is not None or subscription.period_ends_at > now:
                continue
            starts_at, ends_at = month_around(subscription.anchor_at, now)
            subscription.period_starts_at, subscription.period_ends_at = starts_at, ends_at
            subscription.updated_at = now
            subscription.save(update_fields=["period_starts_at", "period_ends_at", "updated_at"])
            give_month(subscription, now=now)
    return len(due)


_OFF = """
SELECT s.org_id FROM billing_subscription s
JOIN billing_plan p ON p.id = s.plan_id
JOIN billing_account a ON a.org_id = s.org_id AND a.kind = 'org_wallet'
LEFT JOIN billing_limits l ON l.org_id = s.org_id AND l.account_id = a.id
WHERE l.plan_tokens_per_hour_mtok IS DISTINCT FROM p.tokens_per_hour_mtok
"""


def keep_ceilings(*, now: datetime) -> int:
    """Write the plans' Tokens per hour to the organizations that have another number of them; return how many.

    That is so after staff have changed a plan. One short transaction for each organization.
    """
    with platform_scope("find ceilings that plans have changed"), connection.cursor() as cursor:
        cursor.execute(_OFF)
        off = [organization_id for (organization_id,) in cursor.fetchall()]
    for organization_id in off:
        with organization_scope(organization_id):
            plan = locked_subscription(organization_id).plan
            set_plan_ceiling(tokens_per_hour_mtok=plan.tokens_per_hour_mtok, now=now)
    return len(off)
