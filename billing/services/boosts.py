"""Boosts: an organization's ceilings, raised from one moment to another. They act and end by the clock alone."""

from __future__ import annotations

from datetime import datetime, timedelta

from django.db import transaction

from billing.models import Boost, Payment
from billing.queries.credentials import forget_credentials
from billing.services.subscriptions import locked_subscription
from tenants.actors import PLATFORM
from tenants.scope import organization_scope, platform_scope
from tenants.services import audit

AT_ONCE = 200


def start_boost(payment: Payment, *, now: datetime) -> Boost:
    """Let the boost that a payment has paid for begin: now, or when the one that runs, or is to come, ends.

    Does nothing again. Locks the organization's subscription, so that two never overlap. Needs its scope.
    """
    locked_subscription(payment.organization_id)
    boost = Boost.objects.select_for_update().get(organization_id=payment.organization_id, payment=payment)
    if boost.starts_at is not None:
        return boost
    last = Boost.objects.filter(organization_id=payment.organization_id, ends_at__gt=now).order_by("-ends_at").first()
    boost.starts_at = last.ends_at if last and last.ends_at else now
    boost.paid_until = boost.ends_at = boost.starts_at + timedelta(hours=boost.hours)
    boost.save(update_fields=["starts_at", "paid_until", "ends_at"])
    audit.record(
        organization_id=payment.organization_id,
        actor=PLATFORM,
        action="boost.started",
        target_kind="payment",
        target_id=payment.id,
        after={"factor": str(boost.factor), "starts_at": boost.starts_at, "ends_at": boost.ends_at},
        now=now,
    )
    transaction.on_commit(forget_credentials)
    return boost


def end_boost(payment: Payment, *, now: datetime) -> Boost | None:
    """Let a boost whose money goes back raise nothing any more; None where none was bought. Does nothing again.

    Locks the organization's subscription. Needs its scope.
    """
    locked_subscription(payment.organization_id)
    boost = Boost.objects.select_for_update().filter(organization_id=payment.organization_id, payment=payment).first()
    if boost is None or boost.starts_at is None or boost.ends_at is None or boost.ends_at <= now:
        return boost
    boost.ends_at = max(boost.starts_at, now)
    boost.save(update_fields=["ends_at"])
    audit.record(
        organization_id=payment.organization_id,
        actor=PLATFORM,
        action="boost.ended",
        target_kind="payment",
        target_id=payment.id,
        after={"ends_at": boost.ends_at},
        reason="Its payment went back.",
        now=now,
    )
    transaction.on_commit(forget_credentials)
    return boost


def end_refunded_boosts(*, now: datetime) -> int:
    """End every boost that runs, or is to come, whose payment was paid back, also in part; return how many.

    Through the platform's door to find them, then each organization alone. Safe to repeat and to race.
    """
    with platform_scope("find boosts that were paid back"):
        found = list(
            Boost.objects.filter(ends_at__gt=now, payment__refunded_minor__gt=0).select_related("payment")[:AT_ONCE]
        )
    for boost in found:
        assert boost.payment is not None, "it was found by its payment"
        with organization_scope(boost.organization_id):
            end_boost(boost.payment, now=now)
    return len(found)
