"""Buying by itself: what is due is charged to the saved card, once, and fulfilled as every other payment.

The payment's row is written before Stripe is asked, and Stripe is asked with a key made from the row. So whoever dies
in between leaves a payment that the next round, or the webhook, brings to its end: the same question gets the same
answer, and there is one row at a time. Nothing is locked while Stripe is asked.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable
from datetime import datetime, timedelta

import structlog
from django.conf import settings
from django.utils import timezone

from billing.enums import AutoTopUpStatus, PaymentKind, PaymentStatus, StopReason
from billing.errors import AuthenticationRequired, CardDeclined, GatewayAway, GatewayRefused, TopUpInvalid
from billing.gateways.stripe import checkout, intents
from billing.gateways.stripe.checkout import CheckoutSession
from billing.models import Account, AutoTopUp, BillingCustomer, Payment
from billing.queries.auto_top_up import spent_this_month, too_many
from billing.queries.top_ups import Offer, offer_of_amount, offer_of_package
from billing.services.auto_top_up_states import arm, locked, record, stop, tell
from billing.services.fulfilment import settle
from tenants.actors import PLATFORM
from tenants.languages import language_of
from tenants.models import Organization
from tenants.queries.people import billing_people_of
from tenants.scope import organization_scope, platform_scope
from tenants.services import audit

log = structlog.get_logger(__name__)

AT_ONCE = 50
# By then whoever had a payment in hand has an answer, or is dead.
LEASE = timedelta(seconds=60)
# Stripe keeps the answer to a key for a day; later the same question could charge again.
KEY_LIVES = timedelta(hours=20)
IN_FLIGHT = (PaymentStatus.OPEN, PaymentStatus.PROCESSING)
DUE = (AutoTopUpStatus.ON, AutoTopUpStatus.WAITING, AutoTopUpStatus.DECLINED, AutoTopUpStatus.CEILING)


def run_auto_top_ups(*, clock: Callable[[], datetime] = timezone.now, stop: Callable[[], bool] = lambda: False) -> int:
    """Charge what is due, and return for how many organizations something was begun or taken up again.

    Through the platform's door; call it outside of a transaction. Any number may run at once. What fails for one
    organization stops no other.
    """
    with platform_scope("look for automatic top-ups"):
        due = AutoTopUp.objects.filter(due_at__lte=clock(), status__in=DUE).order_by("due_at")
        found = list(due.values_list("organization_id", flat=True)[:AT_ONCE])
    begun = 0
    for organization_id in found:
        if stop():
            break
        try:
            begun += top_up_if_due(organization_id=organization_id, now=clock())
        except Exception:
            log.exception("auto_top_up_failed", organization=str(organization_id))
    return begun


def is_auto_top_up_due(now: datetime) -> bool:
    """Return whether something is due. Through the platform's door."""
    with platform_scope("look for automatic top-ups"):
        return AutoTopUp.objects.filter(due_at__lte=now, status__in=DUE).exists()


def top_up_if_due(*, organization_id: uuid.UUID, now: datetime) -> bool:
    """Begin the automatic payment of an organization if it is due, or go on with one; return whether there was one.

    Opens scopes of its own and asks Stripe between them. Where Stripe is away it is due again a minute later.
    """
    with organization_scope(organization_id):
        payment = _claim(organization_id, now)
    if payment is None:
        return False
    try:
        _charge(payment, now)
    except GatewayAway as error:
        log.warning("auto_top_up_put_off", payment=str(payment.id), error=str(error))
    return True


def hear_of_intent(intent: CheckoutSession, *, now: datetime) -> None:
    """Make of news about an automatic payment what it means. In the transaction that marks the news as processed.

    A payment that waits for its buyer on Stripe's page is that page's business, and one whose bank asked for its buyer
    is brought there by whoever charged it.
    """
    if intent.failure_code == "authentication_required" and not intent.is_paid:
        return
    with platform_scope("find an automatic payment"):
        payment = Payment.objects.filter(id=uuid.UUID(intent.reference)).first()
    if payment is not None and not payment.checkout_session_id:
        settle(session=intent, now=now)


def _claim(organization_id: uuid.UUID, now: datetime) -> Payment | None:
    """Return the payment to charge: the one that somebody left, or a new one where one is due; None where none is."""
    wallet, row = locked(organization_id)
    if row is None or row.status not in DUE or row.due_at is None or row.due_at > now:
        return None
    left = Payment.objects.filter(kind=PaymentKind.AUTO_TOPUP, status__in=IN_FLIGHT).first()
    if left is not None:
        asked = left.status == PaymentStatus.PROCESSING or bool(left.checkout_session_id)
        # What Stripe has in hand it tells of by itself.
        row.due_at = None if asked else now + LEASE
        row.save()
        return None if asked else left
    if wallet.posted_mtok >= row.threshold_mtok:
        row.status = AutoTopUpStatus.ON
        arm(row, wallet, now=now)
        return None
    return _begin(row, wallet, now)


def _begin(row: AutoTopUp, wallet: Account, now: datetime) -> Payment | None:
    try:
        offer = offer_of(row)
    except TopUpInvalid:
        stop(row, wallet, StopReason.NO_OFFER, now=now)
        return None
    if not BillingCustomer.objects.exclude(card_payment_method_id="").exists():
        stop(row, wallet, StopReason.NO_CARD, now=now)
        return None
    if too_many(row, now):
        stop(row, wallet, StopReason.VELOCITY, now=now)
        return None
    if spent_this_month(row.currency, now) + offer.amount_minor > row.ceiling_minor:
        row.status, row.due_at, row.updated_at = AutoTopUpStatus.CEILING, next_month(now), now
        row.save()
        tell(row, "ceiling", now=now, resumes_at=row.due_at.isoformat())
        return None
    row.status, row.due_at = AutoTopUpStatus.WAITING, now + LEASE
    row.save()
    payment = Payment.objects.create(
        organization_id=row.organization_id,
        created_at=now,
        updated_at=now,
        kind=PaymentKind.AUTO_TOPUP,
        created_by=str(PLATFORM),
        tokens_mtok=offer.tokens_mtok,
        currency=offer.currency,
        amount_minor=offer.amount_minor,
        package_id=offer.package_id,
        label=offer.name,
        valid_days=offer.valid_days,
        models=list(offer.models),
    )
    record(row, "auto_top_up.begun", PLATFORM, now, after={"mtok": offer.tokens_mtok, "price": offer.price})
    return payment


def _charge(payment: Payment, now: datetime) -> None:
    with organization_scope(payment.organization_id):
        customer = BillingCustomer.objects.get(organization_id=payment.organization_id)
    if now - payment.created_at > KEY_LIVES:
        made = intents.find_intent(customer_id=customer.stripe_id, payment_id=payment.id)
        if made is None:
            _give_up(payment, "gateway_away", now)
        else:
            settle(session=made, now=now)
        return
    try:
        intent = intents.charge_saved_card(
            payment_id=payment.id,
            organization_id=payment.organization_id,
            customer_id=customer.stripe_id,
            payment_method_id=customer.card_payment_method_id,
            amount_minor=payment.net_minor,
            currency=payment.currency,
            description=f"{payment.label or 'Tokens'} · Tokensight",
        )
    except AuthenticationRequired as error:
        _ask_to_confirm(payment, customer, error.payment_intent_id, now)
    except CardDeclined as error:
        settle(session=intents.intent(error.payment_intent_id), now=now)
    except GatewayRefused as error:
        _give_up(payment, error.code, now)
    else:
        settle(session=intent, now=now)


def _ask_to_confirm(payment: Payment, customer: BillingCustomer, intent_id: str, now: datetime) -> None:
    """Bring a payment whose bank wants its buyer to Stripe's page, and tell those who may buy by mail.

    What was tried without them is cancelled first, so that it cannot be paid as well.
    """
    tried = intents.cancel_intent(intent_id)
    if tried.is_paid:
        settle(session=tried, now=now)
        return
    with organization_scope(payment.organization_id):
        slug = Organization.objects.values_list("slug", flat=True).get(id=payment.organization_id)
        people = billing_people_of(payment.organization_id)
    page = f"{settings.BASE_URL}/o/{slug}/billing/payments/{payment.id}/"
    session = checkout.open_payment_session(
        payment_id=payment.id,
        organization_id=payment.organization_id,
        customer_id=customer.stripe_id,
        name=payment.label or "Tokens",
        description=f"{payment.label or 'Tokens'} · Tokensight",
        amount_minor=payment.net_minor,
        currency=payment.currency,
        language=language_of(people[0]) if people else "en",
        success_url=f"{page}?back=paid",
        cancel_url=f"{page}?back=cancelled",
        save_card=True,
    )
    with organization_scope(payment.organization_id):
        kept = Payment.objects.select_for_update(of=("self",)).get(id=payment.id)
        _wallet, row = locked(payment.organization_id)
        if kept.checkout_session_id or kept.status != PaymentStatus.OPEN or row is None:
            return
        kept.checkout_session_id, kept.checkout_url = session.id, session.url
        kept.expires_at, kept.updated_at = session.expires_at, now
        kept.save(update_fields=["checkout_session_id", "checkout_url", "expires_at", "updated_at"])
        if row.is_live:
            row.status, row.due_at = AutoTopUpStatus.CONFIRM, None
            row.save()
        tell(row, "confirm", now=now, payment=kept)


def _give_up(payment: Payment, code: str, now: datetime) -> None:
    """End a payment that Stripe never took, and stop."""
    with organization_scope(payment.organization_id):
        kept = Payment.objects.select_for_update(of=("self",)).get(id=payment.id)
        if kept.status not in IN_FLIGHT:
            return
        kept.status, kept.failure_code, kept.updated_at = PaymentStatus.FAILED, code[:80], now
        kept.save(update_fields=["status", "failure_code", "updated_at"])
        audit.record(
            organization_id=kept.organization_id,
            actor=PLATFORM,
            action="top_up.failed",
            target_kind="payment",
            target_id=kept.id,
            after={"failure": code},
            now=now,
        )
        wallet, row = locked(payment.organization_id)
        if row is not None and row.is_live:
            stop(row, wallet, StopReason.REFUSED, now=now)


def offer_of(row: AutoTopUp) -> Offer:
    """Return what would be bought now. Raises TopUpInvalid where it is not on sale any more."""
    if row.package_id is not None:
        return offer_of_package(row.package_id)
    return offer_of_amount(tokens_mtok=row.tokens_mtok or 0, currency=row.currency)


def next_month(now: datetime) -> datetime:
    """Return when the next calendar month begins in UTC."""
    first = now.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    return (first + timedelta(days=32)).replace(day=1)
