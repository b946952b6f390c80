"""Ending a plan that is paid for its organization: before staff give another one, and before the organization goes."""

from __future__ import annotations

import uuid
from datetime import datetime

from billing.errors import PlanNotForSale, PlanUnchanged
from billing.gateways.stripe import subscriptions
from billing.queries.plans import find_plan, subscription
from billing.services.plan_orders import changing
from billing.services.plan_settling import look, settle
from tenants.actors import Actor
from tenants.scope import organization_scope
from tenants.services import audit


def end_paid_plan(*, organization_id: uuid.UUID, plan_key: str, reason: str, actor: Actor, now: datetime) -> bool:
    """End a subscription at Stripe at once, giving nothing back, before staff give the plan `plan_key`.

    Returns whether there was one. Opens scopes of its own. Raises PlanUnchanged (nothing is ended for the plan that the
    organization is on), PlanUnknown, PlanNotForSale (it has no wallet yet), PlanBusy, and what the gateway does.
    """
    plan = find_plan(plan_key)
    with changing(organization_id, now) as key:
        with organization_scope(organization_id):
            row = subscription()
            if row is None:
                raise PlanNotForSale("This organization has no wallet yet.")
            if row.plan_id == plan.id:
                raise PlanUnchanged("The organization is on this plan already.")
            if row.stripe_id is None:
                return False
            audit.record(
                organization_id=organization_id,
                actor=actor,
                action="plan.change_asked",
                target_kind="organization",
                target_id=organization_id,
                before={"plan": row.plan.key},
                after={"plan": plan.key},
                reason=reason,
                now=now,
            )
        subscriptions.cancel(row.stripe_id, key=key)
        settle(look(row.stripe_id), now=now)
    return True


def let_plan_end(*, organization_id: uuid.UUID, now: datetime) -> None:
    """Let a plan that is paid end with its period, because its organization goes: nothing is charged any more.

    Does nothing where there is none. Opens scopes of its own. Raises PlanBusy, and what the gateway does.
    """
    with changing(organization_id, now) as key:
        with organization_scope(organization_id):
            row = subscription()
        if row is not None and row.stripe_id is not None:
            found = subscriptions.subscription(row.stripe_id)
            if found.is_live and not found.ends_with_period:
                subscriptions.end_with_period(key=key, found=found, ends=True)
            settle(look(row.stripe_id), now=now)
