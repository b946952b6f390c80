"""Bringing an organization's plan to where its subscription at Stripe is.

News come from the webhook, from the page that a buyer comes back to, from our own questions and from the scheduler, in
any order and several at once. None is believed: each makes us `look` at Stripe and `settle` what was seen. A look has a
number, taken before Stripe is asked, and is settled only if no look with a higher one was: whoever saw less than was
seen before changes nothing, and a change that is seen by nobody yet has an event of its own, hence a look to come.
What was paid is settled in any case, once for each invoice.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import structlog
from django.conf import settings
from django.db.models import F
from django.utils import timezone

from billing.enums import PaymentKind, PaymentStatus, PeriodReason, SubscriptionStatus
from billing.errors import PaymentUnknown
from billing.gateways.stripe import intents, invoices, subscriptions
from billing.gateways.stripe.checkout import CheckoutSession
from billing.gateways.stripe.invoices import Invoice
from billing.gateways.stripe.subscriptions import StripeSubscription
from billing.models import BillingCustomer, Payment, Plan, PlanPeriod, Subscription
from billing.periods import months_after
from billing.queries.plans import find_plan, initial_plan
from billing.services.plan_mails import tell_of_end, tell_of_overdue
from billing.services.plan_tokens import give_plan_tokens
from billing.services.subscriptions import enter_plan, give_month, locked_subscription
from tenants.actors import PLATFORM
from tenants.scope import organization_scope, platform_scope
from tenants.services import audit

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Look:
    """What Stripe said of a subscription, asked under the number `number`; `paid` are its invoices, oldest first.

    `intents` says how those were paid that are new here, by the id of the payment intent.
    """

    organization_id: uuid.UUID
    number: int
    found: StripeSubscription
    paid: tuple[Invoice, ...]
    intents: Mapping[str, CheckoutSession] = field(default_factory=dict)


def look(stripe_id: str) -> Look:
    """Ask Stripe for the present state of a subscription of ours. Call it outside of a transaction.

    Raises PaymentUnknown where it is no organization's here, or another's than it says, and what the gateway does.
    """
    with platform_scope("find the organization of a subscription"):
        organization_id = (
            Subscription.objects.filter(stripe_id=stripe_id).values_list("organization_id", flat=True).first()
        )
    if organization_id is None:
        organization_id = _whose(subscriptions.subscription(stripe_id))
        _make_way(organization_id, stripe_id)
    with organization_scope(organization_id):
        Subscription.objects.filter(organization_id=organization_id).update(asked_no=F("asked_no") + 1)
        number = Subscription.objects.values_list("asked_no", flat=True).get(organization_id=organization_id)
    found = subscriptions.subscription(stripe_id)
    if _whose(found) != organization_id:
        raise PaymentUnknown(f"The subscription {stripe_id} is another organization's.")
    paid = tuple(invoices.paid_invoices(stripe_id))
    for line in (line for invoice in paid for line in invoice.lines):
        # So that settling, in its transaction, finds them in memory.
        subscriptions.price(line.price_id)
    with organization_scope(organization_id):
        known = set(Payment.objects.filter(kind=PaymentKind.PLAN).values_list("invoice_id", flat=True))
    new = [invoice.payment_intent_id for invoice in paid if invoice.id not in known and invoice.payment_intent_id]
    return Look(organization_id, number, found, paid, {intent_id: intents.intent(intent_id) for intent_id in new})


def settle(seen: Look, *, now: datetime) -> Subscription:
    """Write down what was seen: what was paid, each invoice once, and the plan in force, unless more was seen before.

    Opens its own scope; locks the subscription, then the organization's accounts.
    """
    with organization_scope(seen.organization_id):
        row = locked_subscription(seen.organization_id)
        foreign = row.stripe_id is not None and row.stripe_id != seen.found.id
        for invoice in seen.paid:
            _credit(row, seen, invoice, now)
        if foreign or seen.number <= row.applied_no:
            return row
        row.applied_no = seen.number
        if seen.found.is_live:
            _go_on(row, seen, now)
        elif seen.found.status in subscriptions.OVER and row.stripe_id == seen.found.id:
            end_subscription(row, now=now)
        else:
            _wait(row, seen.found, now)
        return row


def end_subscription(row: Subscription, *, now: datetime) -> None:
    """Let a locked subscription that was paid at Stripe go over to the plan that costs nothing, and tell people."""
    before, plan = row.plan, initial_plan()
    row.stripe_id, row.anchor_at = None, now
    enter_plan(
        row,
        plan,
        actor=PLATFORM,
        reason="The subscription ended.",
        now=now,
        status=SubscriptionStatus.ACTIVE,
        grace_ends_at=None,
        next_plan=None,
        currency="",
        period_starts_at=now,
        period_ends_at=months_after(now, 1),
        **NOTHING_PENDING,
    )
    give_month(row, now=now)
    tell_of_end(row, before=before, now=now)


NOTHING_PENDING = {"pending_plan": None, "pending_invoice_id": "", "pending_url": "", "pending_session_id": ""}


def tokens_of_rest(
    *, before: Plan | None, after: Plan, period: tuple[datetime, datetime], prorated_at: datetime
) -> int:
    """Return the mtok that an upgrade gives: the difference of the plans' months, for the rest of the period."""
    starts_at, ends_at = period
    more = max(0, after.monthly_mtok - (before.monthly_mtok if before else 0))
    whole, rest = int((ends_at - starts_at).total_seconds()), int((ends_at - prorated_at).total_seconds())
    return more * max(0, min(rest, whole)) // whole


def _make_way(organization_id: uuid.UUID, stripe_id: str) -> None:
    """Let a subscription that is new to us be the organization's only one.

    One that we think it has may have ended without our hearing of it. If it has not, somebody has subscribed twice: the
    newer one is ended at Stripe, so that it is charged once, and what was paid for it brings its Tokens all the same.
    """
    with organization_scope(organization_id):
        known = Subscription.objects.values_list("stripe_id", flat=True).get(organization_id=organization_id)
    # Somebody beside us may have written this one down by now.
    if known is None or known == stripe_id:
        return
    settle(look(known), now=timezone.now())
    with organization_scope(organization_id):
        still = Subscription.objects.filter(organization_id=organization_id, stripe_id=known).exists()
    if still:
        log.error("subscribed_twice", organization=str(organization_id), kept=known, ended=stripe_id)
        subscriptions.cancel(stripe_id, key=f"second-{stripe_id}")


def _whose(found: StripeSubscription) -> uuid.UUID:
    """Return the organization of a subscription: its own mark, and the customer that it is billed to, must agree."""
    try:
        organization_id = uuid.UUID(found.organization)
    except ValueError:
        raise PaymentUnknown(f"The subscription {found.id} is of no organization here.") from None
    with organization_scope(organization_id):
        if not BillingCustomer.objects.filter(organization_id=organization_id, stripe_id=found.customer_id).exists():
            raise PaymentUnknown(f"The subscription {found.id} is billed to nobody here.")
    return organization_id


def _go_on(row: Subscription, seen: Look, now: datetime) -> None:
    """Take over a subscription that is live: what was paid last is in force."""
    found = seen.found
    plan = _plan_paid(seen) or row.plan
    coming = find_plan(found.price.plan_key)
    lower = coming if coming.position < plan.position else None
    next_plan = initial_plan() if found.ends_with_period else lower
    invoice = found.latest_invoice
    overdue = found.status == "past_due"
    changes: dict[str, object] = {
        "stripe_id": found.id,
        "currency": found.currency,
        "period_starts_at": found.starts_at,
        "period_ends_at": found.ends_at,
        "next_plan": next_plan,
        "by_staff": False,
        "status": SubscriptionStatus.PAST_DUE if overdue else SubscriptionStatus.ACTIVE,
        "grace_ends_at": (row.grace_ends_at or now + timedelta(days=settings.PLAN_GRACE_DAYS)) if overdue else None,
        **NOTHING_PENDING,
    }
    unpaid = invoice if invoice and invoice.status == "open" else None
    if found.pending and unpaid:
        changes["pending_plan"] = find_plan(found.pending.plan_key)
    if unpaid and (overdue or found.pending):
        changes |= {"pending_invoice_id": unpaid.id, "pending_url": unpaid.url}
    enter_plan(row, plan, actor=PLATFORM, reason="As it was paid.", now=now, **changes)
    if overdue and unpaid:
        tell_of_overdue(row, unpaid, now=now)


def _wait(row: Subscription, found: StripeSubscription, now: datetime) -> None:
    """Keep what is not paid yet (incomplete), or forget it: nothing of it is in force."""
    invoice = found.latest_invoice
    if found.status == "incomplete" and invoice and invoice.status == "open":
        row.pending_plan = find_plan(found.price.plan_key)
        row.pending_invoice_id, row.pending_url = invoice.id, invoice.url
    else:
        row.pending_plan, row.pending_invoice_id, row.pending_url = None, "", ""
    row.updated_at = now
    row.save()


def _plan_paid(seen: Look) -> Plan | None:
    """Return the plan of what was paid last; None before anything was."""
    for invoice in reversed(seen.paid):
        if invoice.bought:
            return find_plan(subscriptions.price(invoice.bought.price_id).plan_key)
    return None


def _credit(row: Subscription, seen: Look, invoice: Invoice, now: datetime) -> None:
    """Write down a paid invoice and give the Tokens that it brings, once. The subscription is locked."""
    line = invoice.bought
    if line is None or Payment.objects.filter(invoice_id=invoice.id).exists():
        return
    plan = find_plan(subscriptions.price(line.price_id).plan_key)
    tokens_mtok, reason = plan.monthly_mtok, PeriodReason.PERIOD
    if invoice.reason == "subscription_update":
        left = invoice.given_back
        before = find_plan(subscriptions.price(left.price_id).plan_key) if left else None
        period = _period_of(row, seen.found, line.ends_at)
        tokens_mtok = tokens_of_rest(before=before, after=plan, period=period, prorated_at=line.starts_at)
        reason = PeriodReason.UPGRADE
    given: PlanPeriod = give_plan_tokens(
        subscription=row,
        plan=plan,
        key=f"invoice:{invoice.id}",
        reason=reason,
        tokens_mtok=tokens_mtok,
        starts_at=line.starts_at,
        ends_at=line.ends_at,
        now=now,
    )
    # What was set off at Stripe was not paid now, so it can not go back either: off the price first, then off the tax.
    net, tax = max(0, invoice.net_minor), max(0, invoice.tax_minor)
    off = min(net, invoice.credit_minor)
    how = seen.intents.get(invoice.payment_intent_id)
    payment = Payment.objects.create(
        organization_id=row.organization_id,
        created_at=now,
        updated_at=now,
        kind=PaymentKind.PLAN,
        status=PaymentStatus.PAID,
        tokens_mtok=given.tokens_mtok,
        currency=invoice.currency,
        amount_minor=net,
        discount_minor=off,
        tax_minor=max(0, tax - (invoice.credit_minor - off)),
        label=plan.name,
        invoice_id=invoice.id,
        invoice_number=invoice.number,
        invoice_url=invoice.url,
        invoice_pdf=invoice.pdf,
        payment_intent_id=invoice.payment_intent_id,
        charge_id=how.charge_id if how else "",
        receipt_url=how.receipt_url if how else "",
        method=how.method if how else "",
        grant=given.grant,
        paid_at=invoice.paid_at or now,
    )
    audit.record(
        organization_id=row.organization_id,
        actor=PLATFORM,
        action="plan.paid",
        target_kind="payment",
        target_id=payment.id,
        after={"plan": plan.key, "mtok": given.tokens_mtok, "total": payment.total},
        now=now,
    )


def _period_of(row: Subscription, found: StripeSubscription, ends_at: datetime) -> tuple[datetime, datetime]:
    """Return the period that ends then: the one that runs, or one before it."""
    for starts_at, end in ((found.starts_at, found.ends_at), (row.period_starts_at, row.period_ends_at)):
        if end == ends_at:
            return starts_at, end
    return months_after(ends_at, -1), ends_at
