"""Disputes: what is left of a disputed payment's Tokens is frozen; won, it is thawed; lost, it is taken.

News may come in any order, twice and days late, so each is answered by where Stripe has the dispute now. What is closed
is not opened again by older news.
"""

from __future__ import annotations

from datetime import datetime, timedelta

import structlog

from billing.enums import AlertRule, DebtCause, DisputeStatus, PaymentKind
from billing.gateways.stripe.disputes import StripeDispute
from billing.models import Dispute, Payment
from billing.services.alerts import raise_alert
from billing.services.boosts import end_boost
from billing.services.freezes import freeze, thaw
from billing.services.parts import bonus_grants, gone_of, part_of_money
from billing.services.refund_news import lock_payment, payment_of
from billing.services.takebacks import lock_for_taking, take_back, undo_take_back
from tenants.actors import PLATFORM
from tenants.languages import language_of
from tenants.models import Organization, User
from tenants.scope import organization_scope
from tenants.services import audit
from tenants.services.outbox import queue_mail

log = structlog.get_logger(__name__)

LOOK_AGAIN = timedelta(seconds=20)
# Everything else is open: also an inquiry, of which a dispute may come.
WON = {"won", "warning_closed", "prevented"}
LOST = {"lost"}


def keep_dispute(*, found: StripeDispute, now: datetime) -> Dispute:
    """Bring a dispute to where Stripe has it now, with all that follows for Tokens, and return it.

    Exactly once, however often and however much at once this is called. Opens its own scope; locks the payment, then
    every account that has its Tokens, those above them, the wallet and the refunded account. Raises PaymentUnknown (it
    is about no payment of ours) and PaymentMismatch.
    """
    organization_id, payment_id = payment_of(found.payment_intent_id, found.intent_metadata.get("payment", ""))
    with organization_scope(organization_id):
        payment = lock_payment(payment_id)
        dispute = Dispute.objects.filter(stripe_id=found.id).first()
        new = dispute is None
        dispute = dispute or _write(payment, found, now)
        dispute.payment = payment
        status = _status_of(found)
        if new or _goes_on(DisputeStatus(dispute.status), status):
            before = None if new else DisputeStatus(dispute.status)
            dispute.status, dispute.stripe_status, dispute.updated_at = status, found.status, now
            dispute.evidence_due_at = found.evidence_due_at
            dispute.closed_at = None if status == DisputeStatus.OPEN else now
            _follow(dispute, before, now)
            _tell(dispute, now)
        elif status == dispute.status and dispute.stripe_status != found.status:
            dispute.stripe_status, dispute.updated_at = found.status, now
            dispute.save(update_fields=["stripe_status", "updated_at"])
        settle_dispute(dispute=dispute, now=now)
    return dispute


def settle_dispute(*, dispute: Dispute, now: datetime) -> None:
    """Take what is left of a lost dispute's Tokens, and let the rest be owed; the payment is locked.

    While running calls hold some of it, it stays frozen and is due again soon.
    """
    if dispute.status != DisputeStatus.LOST or dispute.settled_at is not None:
        return
    grant = dispute.payment.grant
    waits = False
    if grant is not None:
        done = take_back(
            grant=grant,
            mtok=dispute.tokens_mtok - dispute.taken_mtok,
            bonuses=bonus_grants(dispute.payment),
            bonus_mtok=dispute.bonus_mtok - dispute.bonus_taken_mtok,
            cause=DebtCause.DISPUTE,
            reference=dispute.reference,
            reason="Dispute lost",
            actor=PLATFORM,
            now=now,
        )
        dispute.taken_mtok += done.taken_mtok
        dispute.bonus_taken_mtok += done.bonus_mtok
        waits = done.waits
    dispute.settled_at = None if waits else now
    dispute.next_try_at = now + LOOK_AGAIN if waits else None
    dispute.updated_at = now
    dispute.save()


def _write(payment: Payment, found: StripeDispute, now: datetime) -> Dispute:
    """Write a dispute that is new here, with how many of the payment's Tokens it is about."""
    part = part_of_money(payment, found.amount_minor, gone=gone_of(payment), now=now)
    return Dispute.objects.create(
        organization_id=payment.organization_id,
        created_at=now,
        updated_at=now,
        payment=payment,
        stripe_id=found.id,
        stripe_status=found.status,
        reason=found.reason,
        currency=found.currency,
        amount_minor=found.amount_minor,
        tokens_mtok=part.mtok,
        bonus_mtok=part.bonus_mtok,
        evidence_due_at=found.evidence_due_at,
    )


def _status_of(found: StripeDispute) -> DisputeStatus:
    if found.status in LOST:
        return DisputeStatus.LOST
    return DisputeStatus.WON if found.status in WON else DisputeStatus.OPEN


def _goes_on(before: DisputeStatus, after: DisputeStatus) -> bool:
    """Return whether news change anything: an open dispute is closed, and a decision may be turned round."""
    return after != before and after != DisputeStatus.OPEN


def _follow(dispute: Dispute, before: DisputeStatus | None, now: datetime) -> None:
    """Freeze, thaw or undo, as a dispute's new state asks for; a lost one is settled afterwards."""
    if dispute.payment.kind == PaymentKind.BOOST and dispute.status != DisputeStatus.WON:
        end_boost(dispute.payment, now=now)
    grant = dispute.payment.grant
    bonuses = bonus_grants(dispute.payment)
    grants = [] if grant is None else [grant, *bonuses]
    ids = [found.id for found in grants]
    if grants:
        lock_for_taking(dispute.organization_id, grants)
        if dispute.status == DisputeStatus.WON:
            if before == DisputeStatus.LOST and grant is not None:
                undo_take_back(grant=grant, bonuses=bonuses, reference=dispute.reference, actor=PLATFORM, now=now)
            thaw(grant_ids=ids, reference=dispute.reference, now=now)
        else:
            freeze(organization_id=dispute.organization_id, grant_ids=ids, reference=dispute.reference, now=now)
    if dispute.status == DisputeStatus.WON:
        dispute.taken_mtok, dispute.bonus_taken_mtok, dispute.next_try_at = 0, 0, None
    dispute.settled_at = now if dispute.status == DisputeStatus.WON else None
    dispute.save()
    audit.record(
        organization_id=dispute.organization_id,
        actor=PLATFORM,
        action=ACTIONS[DisputeStatus(dispute.status)],
        target_kind="dispute",
        target_id=dispute.id,
        after={"total": dispute.amount, "mtok": dispute.tokens_mtok, "reference": str(dispute.payment_id)},
        now=now,
    )


ACTIONS = {
    DisputeStatus.OPEN: "dispute.opened",
    DisputeStatus.WON: "dispute.won",
    DisputeStatus.LOST: "dispute.lost",
}


def _tell(dispute: Dispute, now: datetime) -> None:
    """Tell the organization's people by alert, and the platform's staff by mail, of each state once."""
    facts = {"amount": dispute.amount, "tokens_mtok": dispute.tokens_mtok, "state": dispute.status}
    raise_alert(
        organization_id=dispute.organization_id,
        rule=AlertRule.PAYMENT_DISPUTED,
        subject_kind="payment",
        subject_id=dispute.payment_id,
        subject_name=dispute.payment.label or str(dispute.payment_id)[-12:],
        level=None,
        period=f"{dispute.stripe_id}:{dispute.status}",
        facts=facts,
        now=now,
    )
    organization = Organization.objects.get(id=dispute.organization_id)
    for person in User.objects.filter(is_staff=True, is_active=True).order_by("id"):
        queue_mail(
            organization_id=None,
            to=person.email,
            kind="staff_dispute",
            context={
                "organization": organization.name,
                "organization_id": str(organization.id),
                "amount": dispute.amount,
                "state": dispute.status,
                "reason": dispute.reason,
                "due_at": dispute.evidence_due_at.isoformat() if dispute.evidence_due_at else "",
            },
            dedupe_key=f"dispute:{dispute.stripe_id}:{dispute.status}:{person.id}",
            language=language_of(person),
            now=now,
        )
