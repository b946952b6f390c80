"""Comparing what Stripe says was paid with what the ledger was credited, both ways.

It trusts neither side's memory of having told the other: every payment at Stripe must have its grant, and every
purchase in the ledger its payment. What was only missed is made good by the same function that the webhook calls;
everything else is reported, and a person decides.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import structlog
from django.db.models import Exists, OuterRef

from billing.enums import GrantSource, PaymentKind, PaymentStatus
from billing.errors import GatewayRefused, PaymentError, PaymentUnknown
from billing.gateways.stripe import intents, subscriptions
from billing.gateways.stripe import payments as gateway
from billing.gateways.stripe.payments import StripePayment
from billing.models import BillingCustomer, Grant, Payment, ReconciliationRun
from billing.services import plan_settling
from billing.services.fulfilment import fulfil, settle
from tenants.scope import platform_scope

log = structlog.get_logger(__name__)

# A bank may take so long, and a missed event must not slip out of the window before it is noticed.
WINDOW = timedelta(days=14)
# What was paid a moment ago may still be on its way here.
SETTLING = timedelta(minutes=10)
# An open page is closed after a day; what waits longer has missed news.
STALE = timedelta(hours=1)
# Until then the same may be asked of Stripe again, and gets the page.
NEVER_OPENED = timedelta(days=1)
KEPT = timedelta(days=400)
ROWS_AT_ONCE = 500
REASON = "reconcile payments"

Difference = dict[str, Any]


def reconcile_payments(*, now: datetime, window: timedelta = WINDOW) -> ReconciliationRun:
    """Compare the payments of a window, make good what was missed, and keep what was found; return that.

    Asks Stripe page by page and works in short transactions: call it outside of one. Through the platform's door. What
    hinders it (Stripe away) is kept with the run as its `error`.
    """
    since, until = now - window, now - SETTLING
    with platform_scope(REASON):
        run = ReconciliationRun.objects.create(began_at=now, since=since, until=until)
    differences: list[Difference] = []
    error = ""
    try:
        _refresh_stale(now)
        seen = _compare_stripe(since, until, now, run, differences)
        _compare_ledger(since, until, seen, run, differences)
    except PaymentError as problem:
        error = f"{type(problem).__name__}: {problem}"
    run.differences, run.error, run.ended_at = differences, error[:300], now
    run.repaired = sum(difference["repaired"] for difference in differences)
    with platform_scope(REASON):
        run.save()
    level = log.info if run.passed else log.error
    level(
        "payments_reconciled",
        passed=run.passed,
        at_stripe=run.stripe_payments,
        in_ledger=run.ledger_payments,
        differences=len(differences),
        repaired=run.repaired,
        error=error,
    )
    return run


def forget_old_runs(now: datetime) -> int:
    """Delete runs older than 400 days, and return how many. Through the platform's door."""
    with platform_scope("forget old reconciliations"):
        return ReconciliationRun.objects.filter(began_at__lt=now - KEPT).delete()[0]


def _refresh_stale(now: datetime) -> None:
    """Bring payments whose news were missed to where they are: expired, failed, or paid.

    Those for which Stripe never opened a page are over after a day.
    """
    with platform_scope(REASON):
        Payment.objects.filter(
            status=PaymentStatus.OPEN,
            kind=PaymentKind.TOPUP,
            checkout_session_id="",
            payment_intent_id="",
            created_at__lt=now - NEVER_OPENED,
        ).update(status=PaymentStatus.EXPIRED, updated_at=now)
    stale = Payment.objects.filter(
        status__in=[PaymentStatus.OPEN, PaymentStatus.PROCESSING], created_at__lt=now - STALE
    )
    for payment in _in_batches(stale.exclude(checkout_session_id="", payment_intent_id="")):
        try:
            if payment.checkout_session_id:
                fulfil(checkout_session_id=payment.checkout_session_id, now=now)
            else:
                # A saved card was charged without a page.
                settle(session=intents.intent(payment.payment_intent_id), now=now)
        except GatewayRefused:
            log.warning("payment_is_not_at_stripe", payment=str(payment.id))


def _compare_stripe(
    since: datetime, until: datetime, now: datetime, run: ReconciliationRun, differences: list[Difference]
) -> set[str]:
    """Look for the grant of every payment at Stripe; return the payments' ids."""
    seen = set()
    for found in gateway.payments_between(since=since, until=until):
        if not found.succeeded:
            continue
        payment = _payment_of(found)
        if payment is None and not _is_ours(found):
            continue
        run.stripe_payments += 1
        seen.add(found.id)
        if payment is None:
            payment = _find_invoice(found, now, differences)
        if payment is not None and payment.status != PaymentStatus.PAID:
            payment = _make_good(payment, found, now, differences)
        difference = _difference(payment, found)
        if difference:
            differences.append(difference)
    return seen


def _find_invoice(found: StripePayment, now: datetime, differences: list[Difference]) -> Payment | None:
    """Write down what a plan's invoice was paid with, if this payment is one that nobody told of; None if it is none.

    Invoices are payments of a customer that bear no mark of ours: their subscriptions are looked at.
    """
    if found.metadata.get("payment") or not found.customer_id:
        return None
    for stripe_id in subscriptions.subscriptions_of(found.customer_id):
        try:
            plan_settling.settle(plan_settling.look(stripe_id), now=now)
        except PaymentUnknown:
            log.warning("subscription_of_nobody", subscription=stripe_id)
    payment = _payment_of(found)
    if payment is not None:
        differences.append(
            _told("credited_late", payment=payment, stripe=found.id, minor=found.received_minor, repaired=True)
        )
    return payment


def _make_good(payment: Payment, found: StripePayment, now: datetime, differences: list[Difference]) -> Payment:
    """Credit what was paid and not credited, if `settle` finds it right; say so."""
    session = gateway.session_of(found.id)
    if session is None and found.metadata.get("kind") == intents.KIND:
        session = intents.intent(found.id)
    if session is None:
        return payment
    settled = settle(session=session, now=now)
    if settled.status == PaymentStatus.PAID:
        differences.append(
            _told("credited_late", payment=settled, stripe=found.id, minor=found.received_minor, repaired=True)
        )
    return settled


def _difference(payment: Payment | None, found: StripePayment) -> Difference | None:
    if payment is None:
        return _told("paid_for_nothing", stripe=found.id, minor=found.received_minor, currency=found.currency)
    if payment.status != PaymentStatus.PAID:
        return _told("not_credited", payment=payment, stripe=found.id, minor=found.received_minor)
    if (payment.total_minor, payment.currency) != (found.received_minor, found.currency):
        return _told("amount_differs", payment=payment, stripe=found.id, minor=found.received_minor)
    return None


def _compare_ledger(
    since: datetime, until: datetime, seen: set[str], run: ReconciliationRun, differences: list[Difference]
) -> None:
    """Look for the payment of every purchase in the ledger."""
    paid = Payment.objects.filter(status=PaymentStatus.PAID, paid_at__gte=since, paid_at__lt=until)
    for payment in _in_batches(paid.select_related("grant")):
        run.ledger_payments += 1
        if payment.grant is not None and payment.grant.amount_mtok != payment.tokens_mtok:
            differences.append(_told("grant_differs", payment=payment, minor=payment.total_minor))
        if payment.payment_intent_id in seen or payment.total_minor == 0:
            continue
        # Begun before the window, or not at Stripe at all.
        found = _ask(payment.payment_intent_id)
        if found is None or not found.succeeded:
            differences.append(_told("credited_unpaid", payment=payment, minor=0))
        elif (payment.total_minor, payment.currency) != (found.received_minor, found.currency):
            differences.append(_told("amount_differs", payment=payment, stripe=found.id, minor=found.received_minor))
    bought = Payment.objects.filter(organization_id=OuterRef("organization_id"), grant_id=OuterRef("id"))
    orphans = Grant.objects.filter(
        ~Exists(bought), source=GrantSource.PURCHASE, created_at__gte=since, created_at__lt=until
    )
    differences.extend(_told("granted_without_payment", grant=grant) for grant in _in_batches(orphans))


def _payment_of(found: StripePayment) -> Payment | None:
    with platform_scope(REASON):
        by_intent = Payment.objects.filter(payment_intent_id=found.id).first()
        if by_intent is not None:
            return by_intent
        try:
            marked = uuid.UUID(found.metadata.get("payment", ""))
        except ValueError:
            return None
        return Payment.objects.filter(id=marked, payment_intent_id="").first()


def _is_ours(found: StripePayment) -> bool:
    """Return whether a payment that we do not know is one of our customers', and not another business's."""
    if found.metadata.get("payment"):
        return True
    with platform_scope(REASON):
        return bool(found.customer_id) and BillingCustomer.objects.filter(stripe_id=found.customer_id).exists()


def _ask(payment_intent_id: str) -> StripePayment | None:
    if not payment_intent_id:
        return None
    try:
        return gateway.payment(payment_intent_id)
    except GatewayRefused:
        return None


def _told(
    kind: str,
    *,
    payment: Payment | None = None,
    grant: Grant | None = None,
    stripe: str = "",
    minor: int = 0,
    currency: str = "",
    repaired: bool = False,
) -> Difference:
    """Return a difference as it is kept: ids as texts, money in minor units."""
    told = {
        "kind": kind,
        "stripe": stripe or (payment.payment_intent_id if payment else ""),
        "payment": str(payment.id) if payment else "",
        "organization": str(payment.organization_id) if payment else str(grant.organization_id) if grant else "",
        "grant": str(grant.id) if grant else "",
        "currency": payment.currency if payment else currency,
        "ledger_minor": payment.total_minor if payment and payment.status == PaymentStatus.PAID else 0,
        "stripe_minor": minor,
        "mtok": payment.tokens_mtok if payment else grant.amount_mtok if grant else 0,
        "repaired": repaired,
    }
    (log.warning if repaired else log.error)("payment_difference", **told)
    return told


def _in_batches(found: Any) -> Iterator[Any]:
    """Yield rows in the order of their ids, a batch in each transaction."""
    last: uuid.UUID | None = None
    while True:
        with platform_scope(REASON):
            rows = list((found.filter(id__gt=last) if last else found).order_by("id")[:ROWS_AT_ONCE])
        yield from rows
        if len(rows) < ROWS_AT_ONCE:
            return
        last = rows[-1].id
