"""Paying money back: the Tokens are taken first, then the money is sent, then what came of it is kept.

1. One transaction takes the Tokens and writes the `Refund` (reserved).
2. Stripe is asked, under a key made of the row's id.
3. One transaction keeps Stripe's answer (billing/services/refund_news.py).

Whoever dies in between leaves a row that is due again (`refund_rounds`): Tokens are gone only while their money is on
its way, and money goes out once. What fails gives the Tokens back, once.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import structlog
from django.conf import settings
from django.db import transaction
from django.db.models import Sum

from billing.enums import DisputeStatus, PaymentKind, PaymentStatus, RefundOrigin, RefundStatus
from billing.errors import (
    AmountInvalid,
    DebtOutstanding,
    GatewayAway,
    IdempotencyMismatch,
    InsufficientTokens,
    PaymentError,
    PaymentUnknown,
    ReasonMissing,
    RefundRefused,
)
from billing.gateways.stripe import refunds as gateway
from billing.models import Dispute, Grant, Lot, Payment, Refund
from billing.money import money_text
from billing.queries.debts import owed_mtok
from billing.refunding import money_of
from billing.services.parts import Part, bonus_grants, bonus_had, gone_of, part_of_tokens
from billing.services.refund_news import fail_refund, keep_refund
from billing.services.takebacks import lock_for_taking
from billing.services.withdrawals import withdraw
from tenants.actors import Actor
from tenants.identifiers import new_id
from tenants.scope import organization_scope, platform_scope
from tenants.services import audit

log = structlog.get_logger(__name__)

# Plans and boosts are used up by time, so that only staff can say what of them was not had.
REFUNDABLE = (PaymentKind.TOPUP, PaymentKind.AUTO_TOPUP)
# Longer than Stripe keeps anybody waiting; then somebody else may ask.
LEASE = timedelta(seconds=90)
FIRST_WAIT, LONGEST_WAIT = timedelta(seconds=30), timedelta(hours=1)


@dataclass(frozen=True)
class RefundPreview:
    """What a refund would do now: how many Tokens go (and for the purchase's bonus), and how much money comes.

    `instead_mtok` of those for the bonus are of the purchase, because the bonus was spent. `unspent_mtok` is the most
    that could go back: all that are unspent, but for those. `tax_minor` of `amount_minor` is tax. `until` is the last
    moment at which a customer may ask (None: for ever).
    """

    payment: Payment
    tokens_mtok: int
    bonus_mtok: int
    instead_mtok: int
    unspent_mtok: int
    amount_minor: int
    tax_minor: int
    until: datetime | None

    @property
    def all_mtok(self) -> int:
        """Return all that goes, with the bonus."""
        return self.tokens_mtok + self.bonus_mtok

    @property
    def amount(self) -> str:
        return money_text(self.amount_minor, self.payment.currency)

    @property
    def tax(self) -> str:
        return money_text(self.tax_minor, self.payment.currency)


def preview_refund(
    *, organization_id: uuid.UUID, payment_id: uuid.UUID, mtok: int | None, now: datetime, by_staff: bool = False
) -> RefundPreview:
    """Return what refunding `mtok` Tokens (None: all that are unspent) of a payment would do. Locks nothing.

    Needs the organization's scope. Raises PaymentUnknown, RefundRefused, DebtOutstanding, InsufficientTokens.
    """
    payment = Payment.objects.select_related("grant").filter(organization_id=organization_id, id=payment_id).first()
    if payment is None:
        raise PaymentUnknown("There is no such payment.")
    return _preview(payment, mtok, now, by_staff)


def request_refund(
    *,
    organization_id: uuid.UUID,
    payment_id: uuid.UUID,
    mtok: int | None,
    reason: str,
    actor: Actor,
    idempotency_key: str,
    now: datetime,
    by_staff: bool = False,
) -> Refund:
    """Refund unspent Tokens of a payment (`mtok`, or all): take them, send their money back, and return the refund.

    The same key is the same refund. Where Stripe does not answer the refund stays reserved and is sent by itself later;
    where it refuses, the Tokens are given back and the refund says `failed`. Opens scopes of its own and asks Stripe
    between them: call it outside of a transaction. Locks the payment, then every account that has such Tokens, those
    above them, the wallet and the refunded account. Raises what `preview_refund` does, ReasonMissing (staff),
    IdempotencyMismatch, AmountInvalid.
    """
    if by_staff and not reason.strip():
        raise ReasonMissing("Staff refund for a reason.")
    if mtok is not None and mtok <= 0:
        raise AmountInvalid("At least a thousandth of a Token must go back.")
    with organization_scope(organization_id):
        refund, new = _reserve(organization_id, payment_id, mtok, reason, actor, idempotency_key, now, by_staff)
    if refund.status == RefundStatus.RESERVED:
        send_refund(refund=refund, now=now, again=not new)
        with organization_scope(organization_id):
            refund.refresh_from_db()
    return refund


def send_refund(*, refund: Refund, now: datetime, again: bool) -> None:
    """Send a reserved refund's money, and keep what came of it. Safe to repeat.

    With `again` it is looked up at Stripe first: what was sent long ago must not be sent twice. Call it outside of a
    transaction. When Stripe is away the refund is due again later.
    """
    intent = refund.payment.payment_intent_id
    try:
        found = gateway.find_refund(refund_id=refund.id, payment_intent_id=intent) if again else None
        if found is None:
            found = gateway.create_refund(
                refund_id=refund.id,
                organization_id=refund.organization_id,
                payment_intent_id=intent,
                amount_minor=refund.amount_minor,
            )
    except GatewayAway as error:
        log.warning("refund_not_sent_yet", refund=str(refund.id), error=str(error))
        return
    except PaymentError as error:
        log.error("refund_refused", refund=str(refund.id), error=str(error))
        fail_refund(refund=refund, code=getattr(error, "code", "") or "refused", now=now)
        return
    keep_refund(found=found, now=now)


def claim_due_refund(now: datetime) -> Refund | None:
    """Return a reserved refund that is due to be sent, alone for a while. Through the platform's door."""
    with platform_scope("send refunds"):
        due = Refund.objects.filter(status=RefundStatus.RESERVED, next_try_at__lte=now).order_by("next_try_at", "id")
        refund: Refund | None = due.select_for_update(skip_locked=True, of=("self",)).first()
        if refund is not None:
            refund.attempts += 1
            refund.next_try_at = now + max(LEASE, min(FIRST_WAIT * 2 ** min(refund.attempts, 10), LONGEST_WAIT))
            refund.save(update_fields=["attempts", "next_try_at"])
            refund.payment = Payment.objects.get(id=refund.payment_id)
    return refund


def _reserve(
    organization_id: uuid.UUID,
    payment_id: uuid.UUID,
    mtok: int | None,
    reason: str,
    actor: Actor,
    idempotency_key: str,
    now: datetime,
    by_staff: bool,
) -> tuple[Refund, bool]:
    payments = Payment.objects.select_for_update(of=("self",), no_key=True)
    payment = payments.filter(organization_id=organization_id, id=payment_id).first()
    if payment is None:
        raise PaymentUnknown("There is no such payment.")
    if idempotency_key:
        earlier = Refund.objects.filter(organization_id=organization_id, idempotency_key=idempotency_key).first()
        if earlier is not None:
            if earlier.payment_id != payment_id or mtok not in (None, earlier.tokens_mtok):
                raise IdempotencyMismatch("This Idempotency-Key was used for another refund.")
            earlier.payment = payment
            return earlier, False
    bonuses = bonus_grants(payment)
    refund_id = new_id()
    with transaction.atomic():
        if payment.grant is not None:
            lock_for_taking(organization_id, [payment.grant, *bonuses])
        offer = _preview(payment, mtok, now, by_staff)
        refund = Refund(
            id=refund_id,
            organization_id=organization_id,
            created_at=now,
            updated_at=now,
            payment=payment,
            origin=RefundOrigin.STAFF if by_staff else RefundOrigin.CUSTOMER,
            tokens_mtok=offer.tokens_mtok,
            bonus_mtok=offer.bonus_mtok,
            currency=payment.currency,
            amount_minor=offer.amount_minor,
            tax_minor=offer.tax_minor,
            idempotency_key=idempotency_key,
            reason=reason,
            actor=actor.name or str(actor),
            next_try_at=now + LEASE,
            settled_at=now,
        )
        facts: dict[str, Any] = {
            "organization_id": organization_id,
            "reason": reason or "Refund",
            "reference": refund.reference,
            "actor": actor.name or actor,
            "now": now,
        }
        if payment.grant is not None:
            grants = [payment.grant]
            refund.taken_mtok = _take(grants, offer.tokens_mtok, refund.reference, facts)
            if offer.bonus_mtok:
                refund.bonus_taken_mtok = _take(
                    [*bonuses, *grants], offer.bonus_mtok, f"{refund.reference}/bonus", facts
                )
        refund.save(force_insert=True)
        payment.refunded_minor += offer.amount_minor
        payment.updated_at = now
        payment.save(update_fields=["refunded_minor", "updated_at"])
        audit.record(
            organization_id=organization_id,
            actor=actor,
            action="refund.requested",
            target_kind="refund",
            target_id=refund.id,
            after={"mtok": -refund.taken_mtok, "total": refund.amount, "reference": str(payment.id)},
            reason=reason,
            now=now,
        )
    return refund, True


def _take(grants: list[Grant], mtok: int, key: str, facts: dict[str, Any]) -> int:
    """Take so much of these grants, in their order, or raise InsufficientTokens; return it (mtok)."""
    done = withdraw(grants=grants, mtok=mtok, idempotency_key=key, **facts)
    if done.mtok != mtok:
        raise InsufficientTokens(done.mtok)
    return done.mtok


def _preview(payment: Payment, mtok: int | None, now: datetime, by_staff: bool) -> RefundPreview:
    until = _check_refundable(payment, now, by_staff)
    grant = payment.grant
    if grant is None:
        return _preview_without_tokens(payment, until, by_staff)
    bonuses, gone = bonus_grants(payment), gone_of(payment)
    most = _most(payment, _unspent([grant], now), bonuses, gone, now)
    tokens = most if mtok is None else mtok
    if tokens <= 0 or tokens > most:
        raise InsufficientTokens(most)
    amount = _part(payment.total_minor, payment, gone.mtok + tokens) - payment.refunded_minor
    amount = min(max(amount, 0), payment.total_minor - payment.refunded_minor)
    if amount <= 0:
        raise RefundRefused("too_little", "So few Tokens are worth less than the smallest coin.")
    # The part of the tax that has gone back by then, less what has gone back before.
    taxed = Refund.objects.filter(payment=payment).exclude(status=RefundStatus.FAILED)
    tax_before = int(taxed.aggregate(minor=Sum("tax_minor"))["minor"] or 0)
    tax = min(max(_part(payment.tax_minor, payment, gone.mtok + tokens) - tax_before, 0), amount)
    bonus = part_of_tokens(payment, tokens, gone=gone, bonus_mtok=bonus_had(bonuses, now=now))
    return RefundPreview(
        payment=payment,
        tokens_mtok=tokens,
        bonus_mtok=bonus,
        instead_mtok=max(0, bonus - _unspent(bonuses, now)),
        unspent_mtok=most,
        amount_minor=amount,
        tax_minor=tax,
        until=until,
    )


def _preview_without_tokens(payment: Payment, until: datetime | None, by_staff: bool) -> RefundPreview:
    """Return what refunding a payment does that brought time and no Tokens: all of its money goes back, or none."""
    if not by_staff:
        raise RefundRefused("no_tokens", "This payment brought no Tokens that could go back.")
    taxed = Refund.objects.filter(payment=payment).exclude(status=RefundStatus.FAILED)
    tax_before = int(taxed.aggregate(minor=Sum("tax_minor"))["minor"] or 0)
    return RefundPreview(
        payment=payment,
        tokens_mtok=0,
        bonus_mtok=0,
        instead_mtok=0,
        unspent_mtok=0,
        amount_minor=payment.total_minor - payment.refunded_minor,
        tax_minor=max(0, payment.tax_minor - tax_before),
        until=until,
    )


def _check_refundable(payment: Payment, now: datetime, by_staff: bool) -> datetime | None:
    """Raise RefundRefused or DebtOutstanding unless a payment may be refunded; return until when a customer may ask."""
    if payment.status != PaymentStatus.PAID or payment.paid_at is None:
        raise RefundRefused("not_paid", "Only a payment that was made can be refunded.")
    if not payment.total_minor or not payment.payment_intent_id:
        raise RefundRefused("nothing_paid", "No money was paid, so none can go back.")
    disputes = Dispute.objects.filter(payment=payment).exclude(status=DisputeStatus.WON)
    if disputes.exists():
        raise RefundRefused("disputed", "A payment that is or was disputed is settled by the bank.")
    owed = owed_mtok(payment.organization_id)
    if owed:
        raise DebtOutstanding(owed)
    if payment.refunded_minor >= payment.total_minor:
        raise RefundRefused("refunded", "All of it went back already.")
    until = payment.paid_at + timedelta(days=settings.REFUND_DAYS) if settings.REFUND_DAYS else None
    if not by_staff:
        if payment.kind not in REFUNDABLE:
            raise RefundRefused("kind", "Plans and boosts are refunded by the operator of this portal: ask there.")
        if until is not None and now > until:
            raise RefundRefused("too_late", f"Refunds are made within {settings.REFUND_DAYS} days of the payment.")
    return until


def _unspent(grants: list[Grant], now: datetime) -> int:
    lots = Lot.objects.filter(grant__in=grants, spent=False, frozen=False)
    lots = lots.exclude(expires_at__lte=now)
    sums = lots.aggregate(posted=Sum("posted_mtok"), held=Sum("held_mtok"))
    return int(sums["posted"] or 0) - int(sums["held"] or 0)


def _part(minor: int, payment: Payment, gone_mtok: int) -> int:
    return money_of(total_minor=minor, whole_mtok=payment.tokens_mtok, gone_mtok=gone_mtok)


def _most(payment: Payment, unspent_mtok: int, bonuses: list[Grant], gone: Part, now: datetime) -> int:
    """Return how many Tokens of a payment could go back at most (mtok).

    The part of the bonus goes with them. What of that part was spent is taken from the purchase, unpaid, so that nobody
    spends a bonus and has the whole purchase paid back.
    """
    whole, left = bonus_had(bonuses, now=now), _unspent(bonuses, now)
    least, most = 0, unspent_mtok
    # More Tokens never need less of the bonus, so halving finds the most that fit.
    while least < most:
        middle = (least + most + 1) // 2
        needs = part_of_tokens(payment, middle, gone=gone, bonus_mtok=whole)
        if middle + max(0, needs - left) <= unspent_mtok:
            least = middle
        else:
            most = middle - 1
    return least
