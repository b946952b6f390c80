"""What the clock does about plans that are paid: ends of grace, news that never came, organizations that go."""

from __future__ import annotations

import uuid
from datetime import datetime, timedelta

import structlog

from billing.enums import SubscriptionStatus
from billing.errors import PaymentError, PlanError
from billing.gateways.stripe import invoices, payments_enabled, subscriptions
from billing.models import Subscription
from billing.services.plan_endings import let_plan_end
from billing.services.plan_settling import look, settle
from tenants.scope import platform_scope

log = structlog.get_logger(__name__)

# Stripe makes the invoice of a renewal when the period ends, and asks for the money an hour later.
OVERDUE_NEWS = timedelta(hours=2)
AT_ONCE = 200


def keep_paid_plans(*, now: datetime) -> int:
    """End plans whose grace is over, and look at Stripe where news should have come by now; return how many of both.

    Through the platform's door to find them, then each organization alone. What fails is tried again next time.
    """
    if not payments_enabled():
        return 0
    with platform_scope("find plans whose payment is overdue"):
        paid = Subscription.objects.exclude(stripe_id=None)
        graceless = list(
            paid.filter(status=SubscriptionStatus.PAST_DUE, grace_ends_at__lte=now).values_list(
                "organization_id", "stripe_id", "pending_invoice_id"
            )[:AT_ONCE]
        )
        silent = list(
            paid.filter(period_ends_at__lte=now - OVERDUE_NEWS, status=SubscriptionStatus.ACTIVE).values_list(
                "stripe_id", flat=True
            )[:AT_ONCE]
        )
        leaving = list(
            paid.filter(organization__deletion_requested_at__isnull=False)
            .exclude(next_plan__initial=True)
            .values_list("organization_id", flat=True)[:AT_ONCE]
        )
    ended = sum(
        _end(organization_id, stripe_id, invoice_id, now)
        for organization_id, stripe_id, invoice_id in graceless
        if stripe_id is not None
    )
    ended += sum(_leave(organization_id, now) for organization_id in leaving)
    return ended + sum(_look(stripe_id, now) for stripe_id in silent if stripe_id)


def _end(organization_id: uuid.UUID, stripe_id: str, invoice_id: str, now: datetime) -> bool:
    """End a plan whose grace is over, unless it was paid in this moment; its invoice can not be paid any more then."""
    try:
        row = settle(look(stripe_id), now=now)
        if row.status != SubscriptionStatus.PAST_DUE or row.stripe_id != stripe_id:
            return False
        if invoice_id:
            invoices.void_invoice(invoice_id, key=f"void-{invoice_id}")
        subscriptions.cancel(stripe_id, key=f"grace-over-{stripe_id}")
        settle(look(stripe_id), now=now)
    except PaymentError as error:
        log.warning("overdue_plan_stays", organization=str(organization_id), error=str(error))
        return False
    log.info("overdue_plan_ended", organization=str(organization_id))
    return True


def _leave(organization_id: uuid.UUID, now: datetime) -> bool:
    try:
        let_plan_end(organization_id=organization_id, now=now)
    except (PaymentError, PlanError) as error:
        log.warning("plan_of_leaving_organization_stays", organization=str(organization_id), error=str(error))
        return False
    return True


def _look(stripe_id: str, now: datetime) -> bool:
    try:
        settle(look(stripe_id), now=now)
    except PaymentError as error:
        log.warning("plan_not_looked_at", error=str(error))
        return False
    return True
