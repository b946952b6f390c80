"""How an automatic top-up goes on after something has happened to one of its payments.

Order of locks: the payment, the wallet, then the row of settings; the wallet's trigger keeps the last two of these too.
"""

from __future__ import annotations

import uuid
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings

from billing.enums import AccountKind, AutoTopUpStatus, PaymentKind, PaymentStatus, StopReason
from billing.models import Account, AutoTopUp, Payment
from billing.services.locks import lock_accounts
from tenants.actors import PLATFORM, Actor
from tenants.models import Organization
from tenants.queries.people import billing_people_of
from tenants.services import audit
from tenants.services.outbox import queue_mail_to

# How long a declined card is left alone; after the last it stops.
BACK_OFF = (timedelta(hours=1), timedelta(hours=6), timedelta(hours=24))


def locked(organization_id: uuid.UUID) -> tuple[Account, AutoTopUp | None]:
    """Return the wallet and the settings, locked in this order. Needs the organization's scope."""
    wallet_id = Account.objects.values_list("id", flat=True).get(
        organization_id=organization_id, kind=AccountKind.ORG_WALLET
    )
    wallet = lock_accounts([wallet_id])[wallet_id]
    row = AutoTopUp.objects.select_for_update(no_key=True, of=("self",)).filter(organization_id=organization_id)
    return wallet, row.select_related("package").first()


def arm(row: AutoTopUp, wallet: Account, *, now: datetime) -> None:
    """Let a live row wait for the wallet, or make it due now where the wallet has too little already. Saves both."""
    below = row.is_live and wallet.posted_mtok < row.threshold_mtok
    row.due_at = now if below else None
    mark = row.threshold_mtok if row.is_live and not below else None
    Account.objects.filter(id=wallet.id).update(auto_below_mtok=mark)
    row.save()


def stop(row: AutoTopUp, wallet: Account, reason: StopReason, *, now: datetime) -> None:
    """Buy nothing more until a person lets it go on, and tell those who may. Saves both."""
    row.status, row.stop_reason, row.updated_at = AutoTopUpStatus.STOPPED, reason, now
    arm(row, wallet, now=now)
    record(row, "auto_top_up.stopped", PLATFORM, now, after={"reason": reason.value})
    tell(row, f"stopped_{reason.value}", now=now)


def after_payment(payment: Payment, *, now: datetime) -> None:
    """Go on after an automatic payment was paid, failed, or is on its way, in the transaction that finds it so."""
    if payment.kind != PaymentKind.AUTO_TOPUP:
        return
    wallet, row = locked(payment.organization_id)
    if row is None:
        return
    match payment.status:
        case PaymentStatus.PAID:
            row.failures = 0
            if row.is_live:
                row.status = AutoTopUpStatus.ON
            arm(row, wallet, now=now)
        case PaymentStatus.PROCESSING if row.is_live:
            row.status, row.due_at = AutoTopUpStatus.WAITING, None
            row.save()
        case PaymentStatus.FAILED if row.is_live:
            row.failures += 1
            if row.failures > len(BACK_OFF):
                stop(row, wallet, StopReason.DECLINED, now=now)
                return
            row.status, row.due_at = AutoTopUpStatus.DECLINED, now + BACK_OFF[row.failures - 1]
            row.save()
            if row.failures == 1:
                tell(row, "declined", now=now, payment=payment, retry_at=row.due_at.isoformat())
        case PaymentStatus.EXPIRED if row.is_live:
            stop(row, wallet, StopReason.UNCONFIRMED, now=now)


def record(row: AutoTopUp, action: str, actor: Actor, now: datetime, **facts: Any) -> None:
    """Write an audit event about the settings."""
    audit.record(
        organization_id=row.organization_id,
        actor=actor,
        action=action,
        target_kind="auto_top_up",
        target_id=row.id,
        now=now,
        **facts,
    )


def tell(row: AutoTopUp, why: str, *, now: datetime, payment: Payment | None = None, **facts: Any) -> None:
    """Owe those who may buy a mail that says why, once for this moment, with a button to where something is done."""
    organization = Organization.objects.get(id=row.organization_id)
    page = f"{settings.BASE_URL}/o/{organization.slug}/billing/auto-top-up/"
    if why == "confirm" and payment is not None:
        page = f"{settings.BASE_URL}/o/{organization.slug}/billing/payments/{payment.id}/"
    queue_mail_to(
        billing_people_of(row.organization_id),
        organization_id=row.organization_id,
        kind="auto_top_up",
        context={
            "organization": organization.name,
            "why": why,
            "total": payment.total if payment else "",
            "button_url": page,
            **facts,
        },
        dedupe_key=f"auto-top-up:{why}:{payment.id if payment else now.isoformat()}",
        now=now,
    )
