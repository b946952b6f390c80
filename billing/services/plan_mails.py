"""Mails about plans, to those who may buy. Need the organization's scope, in the transaction of what they tell of."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from billing.gateways.stripe.invoices import Invoice
from billing.models import Plan, Subscription
from billing.money import money_text
from billing.queries.plans import upgrade_url
from tenants.models import Membership, Organization, User
from tenants.permissions import ROLES_OF, Permission
from tenants.services.outbox import queue_mail_to


def tell_of_overdue(subscription: Subscription, invoice: Invoice, *, now: datetime) -> None:
    """Say once for each invoice that it could not be paid, until when the plan stays, and where to pay."""
    _tell(
        subscription,
        kind="plan_overdue",
        context={
            "plan": subscription.plan.name,
            "amount": money_text(invoice.due_minor, invoice.currency),
            "until": f"{subscription.grace_ends_at:%Y-%m-%d}",
        },
        key=f"plan-overdue:{invoice.id}",
        now=now,
    )


def tell_of_end(subscription: Subscription, *, before: Plan, now: datetime) -> None:
    """Say that a plan that was paid is over, and what follows it."""
    _tell(
        subscription,
        kind="plan_ended",
        context={"before": before.name, "plan": subscription.plan.name},
        key=f"plan-ended:{now.isoformat()}",
        now=now,
    )


def _tell(subscription: Subscription, *, kind: str, context: dict[str, Any], key: str, now: datetime) -> None:
    organization = Organization.objects.get(id=subscription.organization_id)
    queue_mail_to(
        _buyers(subscription),
        organization_id=organization.id,
        kind=kind,
        context={"organization": organization.name, "button_url": upgrade_url(organization.slug), **context},
        dedupe_key=key,
        now=now,
    )


def _buyers(subscription: Subscription) -> list[User]:
    members = Membership.objects.filter(
        organization_id=subscription.organization_id,
        user__is_active=True,
        role__in=ROLES_OF[Permission.BILLING_MANAGE],
    ).select_related("user")
    return [member.user for member in members.order_by("id")]
