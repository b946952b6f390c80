"""What a crash, a running call or a lost webhook left of refunds and disputes, finished by the scheduler."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

import structlog
from django.utils import timezone

from billing.enums import DisputeStatus, RefundStatus
from billing.errors import PaymentError
from billing.gateways.stripe import payments_enabled
from billing.gateways.stripe import refunds as gateway
from billing.models import Dispute, Refund
from billing.services.disputes import settle_dispute
from billing.services.refund_news import ASK_AGAIN, keep_refund, lock_payment, settle_refund
from billing.services.refunds import claim_due_refund, send_refund
from tenants.scope import organization_scope, platform_scope

log = structlog.get_logger(__name__)

AT_ONCE = 200


def finish_refunds(*, clock: Callable[[], datetime] = timezone.now, stop: Callable[[], bool] = lambda: False) -> int:
    """Go on with all that is due: send, ask Stripe, take what running calls held; return of how many.

    Through the platform's door; call it outside of a transaction. Any number may run at once.
    """
    done = 0
    while payments_enabled() and done < AT_ONCE and not stop() and (refund := claim_due_refund(clock())):
        send_refund(refund=refund, now=clock(), again=True)
        done += 1
    for refund in _due_refunds(clock()):
        if stop():
            break
        _go_on(refund, clock())
        done += 1
    for dispute in _due_disputes(clock()):
        if stop():
            break
        with organization_scope(dispute.organization_id):
            payment = lock_payment(dispute.payment_id)
            dispute.refresh_from_db()
            dispute.payment = payment
            settle_dispute(dispute=dispute, now=clock())
        done += 1
    return done


def is_refund_due(now: datetime) -> bool:
    """Return whether something could be done now. Through the platform's door."""
    with platform_scope("look for refunds"):
        return (
            Refund.objects.filter(next_try_at__lte=now).exists()
            or Dispute.objects.filter(next_try_at__lte=now).exists()
        )


def _due_refunds(now: datetime) -> list[Refund]:
    with platform_scope("finish refunds"):
        due = Refund.objects.filter(next_try_at__lte=now).exclude(status=RefundStatus.RESERVED)
        return list(due.order_by("next_try_at", "id")[:AT_ONCE])


def _due_disputes(now: datetime) -> list[Dispute]:
    with platform_scope("finish disputes"):
        due = Dispute.objects.filter(next_try_at__lte=now, status=DisputeStatus.LOST)
        return list(due.order_by("next_try_at", "id")[:AT_ONCE])


def _go_on(refund: Refund, now: datetime) -> None:
    if refund.settled_at is None:
        with organization_scope(refund.organization_id):
            payment = lock_payment(refund.payment_id)
            refund.refresh_from_db()
            refund.payment = payment
            settle_refund(refund=refund, now=now)
        return
    if not payments_enabled():
        return
    try:
        keep_refund(found=gateway.refund(refund.stripe_id), now=now)
    except PaymentError as error:
        log.warning("refund_not_looked_up", refund=str(refund.id), error=type(error).__name__)
    with organization_scope(refund.organization_id):
        waiting = Refund.objects.filter(id=refund.id, status=RefundStatus.PENDING, next_try_at__lte=now)
        waiting.update(next_try_at=now + ASK_AGAIN)
