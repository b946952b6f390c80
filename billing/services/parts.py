"""What part of a payment's Tokens, and of the bonus that came with them, its refunds and disputes are about.

All of it is cumulative: after so much of a payment went back, so many of its Tokens and so much of its bonus have,
rounded down. A refund or a dispute is about the difference to what the others were about.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

from django.db.models import F, Sum

from billing.enums import AccountKind, DisputeStatus, RefundOrigin, RefundStatus
from billing.models import CodeRedemption, Dispute, Entry, Grant, Lot, Payment, Refund
from billing.refunding import tokens_of


@dataclass(frozen=True)
class Part:
    """So much money (minor units), so many of the payment's Tokens and of its bonus (mtok)."""

    minor: int = 0
    mtok: int = 0
    bonus_mtok: int = 0


def bonus_grants(payment: Payment) -> list[Grant]:
    """Return the grants of Tokens that a code put on top of a purchase."""
    found = CodeRedemption.objects.filter(payment=payment, grant__isnull=False).select_related("grant")
    return [redemption.grant for redemption in found.order_by("id")]


def bonus_had(grants: Collection[Grant], *, now: datetime) -> int:
    """Return how much of these bonuses was had or can be had still (mtok): all but what expired unspent."""
    if not grants:
        return 0
    swept = Entry.objects.filter(account__kind=AccountKind.EXPIRED, grant__in=grants)
    due = Lot.objects.filter(grant__in=grants, spent=False, expires_at__lte=now)
    expired = int(swept.aggregate(mtok=Sum("amount_mtok"))["mtok"] or 0)
    expired += int(due.aggregate(mtok=Sum(F("posted_mtok") - F("held_mtok")))["mtok"] or 0)
    return sum(grant.amount_mtok for grant in grants) - expired


def gone_of(payment: Payment) -> Part:
    """Return what of a payment went back already, or is on its way."""
    found = list(Refund.objects.filter(payment=payment).exclude(status=RefundStatus.FAILED))
    return _sum(found)


def part_of_tokens(payment: Payment, mtok: int, *, gone: Part, bonus_mtok: int) -> int:
    """Return how much of a bonus of `bonus_mtok` belongs to the next `mtok` of a payment's Tokens."""
    if not payment.tokens_mtok:
        return 0
    return max(0, bonus_mtok * (gone.mtok + mtok) // payment.tokens_mtok - gone.bonus_mtok)


def part_of_money(payment: Payment, amount_minor: int, *, gone: Part, now: datetime) -> Part:
    """Return what so much more of a payment's money stands for."""
    minor = min(gone.minor + amount_minor, payment.total_minor)
    mtok = tokens_of(total_minor=payment.total_minor, whole_mtok=payment.tokens_mtok, gone_minor=minor) - gone.mtok
    mtok = max(mtok, 0)
    whole = bonus_had(bonus_grants(payment), now=now)
    return Part(amount_minor, mtok, part_of_tokens(payment, mtok, gone=gone, bonus_mtok=whole))


def reconsider(payment: Payment, *, now: datetime) -> None:
    """Bring a payment, and what else is about it, in line after one of its refunds was written or failed.

    What was made at Stripe, or is disputed, is about more where a refund that had taken part of it came to nothing: it
    is due again then. The payment is locked. Saves all of them.
    """
    before: list[Refund] = []
    for refund in Refund.objects.filter(payment=payment).exclude(status=RefundStatus.FAILED).order_by("id"):
        part = part_of_money(payment, refund.amount_minor, gone=_sum(before), now=now)
        if refund.origin == RefundOrigin.STRIPE and _grows(refund, part):
            refund.settled_at, refund.next_try_at, refund.updated_at = None, now, now
            refund.save()
        before.append(refund)
    gone = _sum(before)
    payment.refunded_minor, payment.updated_at = min(gone.minor, payment.total_minor), now
    payment.save(update_fields=["refunded_minor", "updated_at"])
    for dispute in Dispute.objects.filter(payment=payment).exclude(status=DisputeStatus.WON):
        part = part_of_money(payment, dispute.amount_minor, gone=gone, now=now)
        if dispute.status == DisputeStatus.OPEN:
            dispute.tokens_mtok, dispute.bonus_mtok = part.mtok, part.bonus_mtok
        elif _grows(dispute, part):
            dispute.settled_at, dispute.next_try_at = None, now
        dispute.updated_at = now
        dispute.save()


def _grows(row: Refund | Dispute, part: Part) -> bool:
    """Let a refund or a dispute be about as much as `part` where that is more; return whether it was."""
    before = (row.tokens_mtok, row.bonus_mtok)
    row.tokens_mtok, row.bonus_mtok = max(row.tokens_mtok, part.mtok), max(row.bonus_mtok, part.bonus_mtok)
    return (row.tokens_mtok, row.bonus_mtok) != before


def _sum(refunds: list[Refund]) -> Part:
    return Part(
        sum(refund.amount_minor for refund in refunds),
        sum(refund.tokens_mtok for refund in refunds),
        sum(refund.bonus_mtok for refund in refunds),
    )
