"""Codes that count with a purchase: reserved when a payment is begun, redeemed when it is paid, free again when not.

The use is taken with the reservation, so what is promised on the payment page is kept: nobody else can have it then.
Order of locks: the payment, its redemption, the code, then the organization's accounts.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import datetime, timedelta

import structlog
from django.db.models import Q

from billing.codes import hash_code, read_code
from billing.enums import CodeBenefit, PaymentStatus, RedemptionStatus
from billing.errors import CodeNotForPurchases
from billing.models import Code, CodeRedemption, CodeSet, Payment
from billing.services.codes import find_code, give_use_back, grant_of_code, take_use, terms_of
from tenants.actors import PLATFORM, Actor
from tenants.identifiers import new_id
from tenants.scope import organization_scope, platform_scope
from tenants.services import audit

log = structlog.get_logger(__name__)

# What a card can be charged at least, in minor units: a discount goes no further.
LEAST_MINOR = {"CNY": 400, "USD": 50}
# By then whoever begins a payment has asked Stripe for its page, or is dead.
UNOPENED, AT_ONCE = timedelta(hours=1), 200
OVER = (PaymentStatus.FAILED, PaymentStatus.EXPIRED)


@dataclass(frozen=True)
class CodeWorth:
    """What a code does to a purchase: so many mtok on top, so many minor units off."""

    bonus_mtok: int
    discount_minor: int


def worth_of(code_set: CodeSet, *, tokens_mtok: int, amount_minor: int, currency: str) -> CodeWorth:
    """Return what a code of this set does to a purchase. Parts of a thousandth and of a coin are left away."""
    match code_set.benefit:
        case CodeBenefit.BONUS_TOKENS:
            return CodeWorth(code_set.tokens_mtok or 0, 0)
        case CodeBenefit.BONUS_PERCENT:
            return CodeWorth(tokens_mtok * (code_set.percent or 0) // 100, 0)
        case CodeBenefit.DISCOUNT_PERCENT:
            most = max(0, amount_minor - LEAST_MINOR.get(currency, 0))
            return CodeWorth(0, min(most, amount_minor * (code_set.percent or 0) // 100))
    raise CodeNotForPurchases


def quote_code(
    *,
    organization_id: uuid.UUID,
    typed: str,
    tokens_mtok: int,
    amount_minor: int,
    currency: str,
    actor: Actor,
    now: datetime,
) -> CodeWorth:
    """Return what a code would do to a purchase; nothing is taken. Raises as `find_code`, and CodeNotForPurchases.

    Needs the organization's scope, and holds the code's lock until the transaction ends.
    """
    code, _earlier = find_code(
        organization_id=organization_id, typed=typed, actor=actor, idempotency_key=str(new_id()), now=now
    )
    return worth_of(code.code_set, tokens_mtok=tokens_mtok, amount_minor=amount_minor, currency=currency)


def reserve_code(*, payment: Payment, typed: str, actor: Actor, now: datetime) -> CodeRedemption:
    """Take one use of a code for a payment that is being begun, and write the discount on the payment.

    In the transaction that writes the payment, in its organization's scope. Raises as `find_code`, CodeUsedBefore and
    CodeNotForPurchases.
    """
    code, _earlier = find_code(
        organization_id=payment.organization_id,
        typed=typed,
        actor=actor,
        idempotency_key=_key(payment),
        now=now,
    )
    worth = worth_of(
        code.code_set,
        tokens_mtok=payment.tokens_mtok,
        amount_minor=payment.amount_minor,
        currency=payment.currency,
    )
    redemption = CodeRedemption.objects.create(
        organization_id=payment.organization_id,
        created_at=now,
        status=RedemptionStatus.RESERVED,
        slot=take_use(code, organization_id=payment.organization_id),
        tokens_mtok=worth.bonus_mtok,
        discount_minor=worth.discount_minor,
        payment=payment,
        idempotency_key=_key(payment),
        actor=str(actor),
        **terms_of(code),
    )
    if worth.discount_minor:
        payment.discount_minor = worth.discount_minor
        payment.save(update_fields=["discount_minor"])
    return redemption


def is_code_of(payment: Payment, typed: str) -> bool:
    """Return whether a payment was begun with this code, or with none where none was typed. Needs its scope."""
    reserved = CodeRedemption.objects.filter(payment=payment).values_list("code_id", flat=True).first()
    characters = read_code(typed) if typed else None
    if characters is None or reserved is None:
        return not typed and reserved is None
    with platform_scope("compare a code with the one before"):
        return Code.objects.filter(id=reserved, secret_hash=hash_code(characters)).exists()


def redeem_for(payment: Payment, *, now: datetime) -> CodeRedemption | None:
    """Credit what the code of a payment promised, in the transaction that finds it paid; None where it has no code.

    Money that comes after the reservation was given up still gets it, uncounted: it was asked for at the promised
    price. Needs the organization's scope and the payment's lock.
    """
    redemption = _locked(payment)
    if redemption is None or redemption.status == RedemptionStatus.REDEEMED:
        return redemption
    if redemption.status == RedemptionStatus.RELEASED:
        log.warning("code_redeemed_late", redemption=str(redemption.id), payment=str(payment.id))
    if redemption.tokens_mtok:
        redemption.grant = grant_of_code(
            organization_id=payment.organization_id,
            redemption_id=redemption.id,
            hint=redemption.hint,
            tokens_mtok=redemption.tokens_mtok,
            valid_days=redemption.valid_days,
            reference=str(payment.id),
            actor=redemption.actor,
            now=now,
        )
    redemption.status, redemption.settled_at = RedemptionStatus.REDEEMED, now
    redemption.save(update_fields=["status", "settled_at", "grant"])
    audit.record(
        organization_id=payment.organization_id,
        actor=PLATFORM,
        action="code.redeemed",
        target_kind="code",
        target_id=redemption.id,
        after={"prefix": redemption.hint, "mtok": redemption.tokens_mtok, "reference": str(payment.id)},
        now=now,
    )
    return redemption


def release_for(payment: Payment, *, now: datetime) -> None:
    """Let the code of a payment that came to nothing be used again. As `redeem_for` otherwise."""
    redemption = _locked(payment)
    if redemption is None or redemption.status != RedemptionStatus.RESERVED:
        return
    redemption.status, redemption.settled_at, redemption.slot = RedemptionStatus.RELEASED, now, None
    redemption.save(update_fields=["status", "settled_at", "slot"])
    give_use_back(redemption.code_id)


def release_forgotten(*, now: datetime) -> int:
    """Free the codes of payments that came to nothing without a word, and return how many.

    Those whose page was never opened, because a process died before, are given up: nobody could have paid them. Through
    the platform's door, each in a transaction of its own; for the scheduler.
    """
    with platform_scope("find codes of payments that nobody could pay"):
        found = list(
            Payment.objects.filter(
                Q(status__in=OVER)
                | Q(status=PaymentStatus.OPEN, checkout_session_id="", created_at__lt=now - UNOPENED),
                codes__status=RedemptionStatus.RESERVED,
            ).values_list("organization_id", "id")[:AT_ONCE]
        )
    for organization_id, payment_id in found:
        with organization_scope(organization_id):
            payment = Payment.objects.select_for_update(of=("self",)).get(id=payment_id)
            if payment.status == PaymentStatus.OPEN and not payment.checkout_session_id:
                payment.status, payment.updated_at = PaymentStatus.EXPIRED, now
                payment.save(update_fields=["status", "updated_at"])
            if payment.status in OVER:
                release_for(payment, now=now)
    return len(found)


def _locked(payment: Payment) -> CodeRedemption | None:
    return CodeRedemption.objects.select_for_update(no_key=True).filter(payment=payment).order_by("-id").first()


def _key(payment: Payment) -> str:
    return f"payment:{payment.id}"
