"""What became of refunds, as Stripe has them now: those that were asked for here, and those that were made there.

A refund that nobody here asked for has sent its money already: what is unspent of its Tokens is taken, the rest is
owed.
"""

from __future__ import annotations

import uuid
from datetime import datetime, timedelta

import structlog

from billing.enums import DebtCause, PaymentKind, PaymentStatus, RefundOrigin, RefundStatus
from billing.errors import PaymentMismatch, PaymentUnknown
from billing.gateways.stripe.refunds import StripeRefund
from billing.models import Payment, Refund
from billing.refunding import money_of
from billing.services.boosts import end_boost
from billing.services.parts import bonus_grants, gone_of, part_of_money, reconsider
from billing.services.takebacks import take_back, undo_take_back
from tenants.actors import PLATFORM
from tenants.scope import organization_scope, platform_scope
from tenants.services import audit

log = structlog.get_logger(__name__)

# Held Tokens are looked at again, and a refund that is on its way is asked about, after this.
LOOK_AGAIN, ASK_AGAIN = timedelta(seconds=20), timedelta(hours=6)
STATUS_OF = {
    "pending": RefundStatus.PENDING,
    "requires_action": RefundStatus.PENDING,
    "succeeded": RefundStatus.SUCCEEDED,
    "failed": RefundStatus.FAILED,
    "canceled": RefundStatus.FAILED,
}
# News that are older than what is known change nothing: a refund goes only this way.
ORDER = [RefundStatus.RESERVED, RefundStatus.PENDING, RefundStatus.SUCCEEDED, RefundStatus.FAILED]


def keep_refund(*, found: StripeRefund, now: datetime) -> Refund:
    """Bring a refund to where Stripe has it now, and return it; one that was made there is written down first.

    Exactly once, however often and however much at once this is called. Opens its own scope; locks the payment, then as
    `take_back`. Raises PaymentUnknown (it is of no payment of ours) and PaymentMismatch.
    """
    organization_id, payment_id = payment_of(found.payment_intent_id, found.intent_metadata.get("payment", ""))
    with organization_scope(organization_id):
        payment = lock_payment(payment_id)
        refund = _find(found) or _write(payment, found, now)
        refund.payment = payment
        if (refund.amount_minor, refund.currency) != (found.amount_minor, found.currency):
            raise PaymentMismatch(f"The refund {found.id} is of another amount at Stripe.")
        status = STATUS_OF[found.status]
        if not refund.stripe_id:
            refund.stripe_id = found.id
        if ORDER.index(status) > ORDER.index(RefundStatus(refund.status)):
            if status == RefundStatus.FAILED:
                _give_back(refund, found.failure_code or "failed", now)
            else:
                _go_on(refund, status, now)
        settle_refund(refund=refund, now=now)
        if payment.kind == PaymentKind.BOOST and refund.status != RefundStatus.FAILED:
            end_boost(payment, now=now)
    return refund


def fail_refund(*, refund: Refund, code: str, now: datetime) -> None:
    """Give the Tokens of a reserved refund back that Stripe refused. Opens its own scope; safe to repeat."""
    with organization_scope(refund.organization_id):
        payment = lock_payment(refund.payment_id)
        refund.refresh_from_db()
        refund.payment = payment
        if refund.status == RefundStatus.RESERVED:
            _give_back(refund, code, now)


def settle_refund(*, refund: Refund, now: datetime) -> None:
    """Take what a refund that was made at Stripe is for, and let the rest be owed; the payment is locked.

    While running calls hold some of it, it is due again soon.
    """
    grant = refund.payment.grant
    if refund.settled_at is not None or refund.status == RefundStatus.FAILED:
        refund.save()
        return
    missing, bonus = refund.tokens_mtok - refund.taken_mtok, refund.bonus_mtok - refund.bonus_taken_mtok
    waits = False
    if grant is not None and (missing or bonus):
        done = take_back(
            grant=grant,
            mtok=missing,
            bonuses=bonus_grants(refund.payment),
            bonus_mtok=bonus,
            cause=DebtCause.REFUND,
            reference=refund.reference,
            reason="Refunded at Stripe",
            actor=PLATFORM,
            now=now,
        )
        refund.taken_mtok += done.taken_mtok
        refund.bonus_taken_mtok += done.bonus_mtok
        waits = done.waits
    refund.settled_at = None if waits else now
    refund.next_try_at = now + LOOK_AGAIN if waits else (now + ASK_AGAIN if _on_its_way(refund) else None)
    refund.updated_at = now
    refund.save()


def payment_of(payment_intent_id: str, marked: str) -> tuple[uuid.UUID, uuid.UUID]:
    """Return the organization and the payment that money at Stripe belongs to. Through the platform's door.

    By the payment intent, or by what we wrote on it (`marked`). Raises PaymentUnknown.
    """
    with platform_scope("find the payment of a refund or dispute"):
        found = None
        if payment_intent_id:
            found = Payment.objects.filter(payment_intent_id=payment_intent_id).first()
        if found is None and _uuid(marked):
            found = Payment.objects.filter(id=marked).first()
    if found is None:
        raise PaymentUnknown(f"The payment {payment_intent_id} is none of ours.")
    return found.organization_id, found.id


def lock_payment(payment_id: uuid.UUID) -> Payment:
    """Lock a payment and return it. Raises PaymentMismatch when it was not paid, as far as is known here."""
    payment = Payment.objects.select_for_update(of=("self",), no_key=True).get(id=payment_id)
    if payment.status != PaymentStatus.PAID:
        raise PaymentMismatch(f"The payment {payment_id} is not known to be paid.")
    return payment


def _find(found: StripeRefund) -> Refund | None:
    known = Refund.objects.filter(stripe_id=found.id).first()
    if known is None and _uuid(found.metadata.get("refund", "")):
        known = Refund.objects.filter(id=found.metadata["refund"], stripe_id="").first()
    return known


def _write(payment: Payment, found: StripeRefund, now: datetime) -> Refund:
    """Write a refund that was made at Stripe; of one that has failed already nothing is to be taken."""
    failed = STATUS_OF[found.status] == RefundStatus.FAILED
    part = part_of_money(payment, 0 if failed else found.amount_minor, gone=gone_of(payment), now=now)
    tax = money_of(total_minor=payment.tax_minor, whole_mtok=payment.total_minor, gone_mtok=found.amount_minor)
    refund = Refund.objects.create(
        organization_id=payment.organization_id,
        created_at=now,
        updated_at=now,
        payment=payment,
        origin=RefundOrigin.STRIPE,
        status=RefundStatus.FAILED if failed else RefundStatus.PENDING,
        tokens_mtok=part.mtok,
        bonus_mtok=part.bonus_mtok,
        currency=found.currency,
        amount_minor=found.amount_minor,
        tax_minor=min(tax, found.amount_minor),
        stripe_id=found.id,
        reason="Made at Stripe",
        settled_at=now if failed else None,
        ended_at=now if failed else None,
    )
    if not failed:
        reconsider(payment, now=now)
        audit.record(
            organization_id=payment.organization_id,
            actor=PLATFORM,
            action="refund.found",
            target_kind="refund",
            target_id=refund.id,
            after={"mtok": -refund.tokens_mtok, "total": refund.amount, "reference": str(payment.id)},
            now=now,
        )
    return refund


def _go_on(refund: Refund, status: RefundStatus, now: datetime) -> None:
    refund.status, refund.updated_at = status, now
    if status == RefundStatus.SUCCEEDED:
        refund.ended_at = now
    if refund.settled_at is not None:
        refund.next_try_at = now + ASK_AGAIN if _on_its_way(refund) else None
    audit.record(
        organization_id=refund.organization_id,
        actor=PLATFORM,
        action="refund.succeeded" if status == RefundStatus.SUCCEEDED else "refund.sent",
        target_kind="refund",
        target_id=refund.id,
        after={"total": refund.amount},
        now=now,
    )


def _give_back(refund: Refund, code: str, now: datetime) -> None:
    """Undo a refund whose money did not go: its Tokens are in the wallet again, with their expiry as it was."""
    payment, grant = refund.payment, refund.payment.grant
    back = 0
    if grant is not None:
        bonuses = bonus_grants(payment)
        back = undo_take_back(grant=grant, bonuses=bonuses, reference=refund.reference, actor=PLATFORM, now=now)
    refund.status, refund.failure_code = RefundStatus.FAILED, code[:80]
    refund.taken_mtok = refund.bonus_taken_mtok = 0
    refund.ended_at = refund.settled_at = refund.updated_at = now
    refund.next_try_at = None
    refund.save()
    reconsider(payment, now=now)
    audit.record(
        organization_id=refund.organization_id,
        actor=PLATFORM,
        action="refund.failed",
        target_kind="refund",
        target_id=refund.id,
        after={"total": refund.amount, "returned_mtok": back, "failure": code},
        now=now,
    )


def _on_its_way(refund: Refund) -> bool:
    return refund.status == RefundStatus.PENDING


def _uuid(text: str) -> uuid.UUID | None:
    try:
        return uuid.UUID(text)
    except ValueError:
        return None
