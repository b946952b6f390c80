"""What people do about their plan: see what a change would bring, change, cancel, resume.

Stripe is asked and told outside of transactions; what comes of it is settled by plan_settling, here at once, and once
more when Stripe's own news arrive. One change of an organization at a time.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from django.conf import settings
from django.db.models import F, Q

from billing.enums import SubscriptionStatus
from billing.errors import PlanBusy, PlanNotForSale, PlanUnchanged, StateChanged
from billing.gateways.stripe import checkout, subscriptions
from billing.models import Plan, PlanPrice, Subscription
from billing.money import money_text
from billing.periods import months_after
from billing.queries.plans import find_plan, initial_plan, subscription
from billing.services.customers import ensure_customer
from billing.services.plan_settling import look, settle, tokens_of_rest
from billing.services.topups import Buyer
from tenants.actors import Actor
from tenants.models import Organization
from tenants.scope import organization_scope, platform_scope
from tenants.services import audit

# Longer than Stripe can keep somebody waiting: a process that dies in the middle keeps others out for so long.
LEASE = timedelta(seconds=90)
# What a preview says is charged if it is confirmed within this time.
PREVIEW_LASTS = timedelta(minutes=15)


class ChangeKind(StrEnum):
    """How a change is made."""

    SUBSCRIBE = "subscribe"
    UPGRADE = "upgrade"
    DOWNGRADE = "downgrade"
    CANCEL = "cancel"


@dataclass(frozen=True)
class Preview:
    """What a change brings, to the cent and the Token: today, and when the period ends.

    `today_tax_minor` and `renewal_tax_minor` are None where Stripe says only on its page how much tax there is.
    `as_of` is the moment that the rest of the period is reckoned from.
    """

    kind: ChangeKind
    before: Plan
    after: Plan
    currency: str
    as_of: datetime
    today_net_minor: int
    today_tax_minor: int | None
    today_mtok: int
    acts_at: datetime
    renews_at: datetime
    renewal_minor: int
    renewal_mtok: int

    @property
    def today_minor(self) -> int:
        return self.today_net_minor + (self.today_tax_minor or 0)


@dataclass(frozen=True)
class Change:
    """What became of a change: `done`, or `scheduled` for the period's end, or paid for on the page `url`."""

    state: str
    url: str = ""


def preview_change(
    *, organization_id: uuid.UUID, plan_key: str, currency: str = "", as_of: datetime | None = None, now: datetime
) -> Preview:
    """Return what changing to a plan would bring. Changes nothing. Opens its own scope, and asks Stripe.

    Raises PlanUnknown, PlanUnchanged, PlanNotForSale (also: another currency, an overdue payment, a scheduled change),
    and what the gateway does.
    """
    row, plan = _row_and_plan(organization_id, plan_key)
    as_of = (as_of or now).replace(microsecond=0)
    if row.stripe_id is None:
        return _first(row, plan, currency, as_of)
    currency = _same_currency(row, currency)
    kind = _kind(row, plan)
    renewal = _price(plan, currency) if not plan.initial else None
    if kind is not ChangeKind.UPGRADE:
        return Preview(
            kind=kind,
            before=row.plan,
            after=plan,
            currency=currency,
            as_of=as_of,
            today_net_minor=0,
            today_tax_minor=0,
            today_mtok=0,
            acts_at=row.period_ends_at,
            renews_at=row.period_ends_at,
            renewal_minor=renewal.price_minor if renewal else 0,
            renewal_mtok=plan.monthly_mtok,
        )
    assert renewal is not None, "an upgrade is to a plan with a price"
    found = subscriptions.subscription(row.stripe_id)
    invoice = subscriptions.preview_upgrade(found=found, price_id=_stripe_price(renewal), prorated_at=as_of)
    return Preview(
        kind=kind,
        before=row.plan,
        after=plan,
        currency=currency,
        as_of=as_of,
        today_net_minor=invoice.net_minor,
        today_tax_minor=invoice.tax_minor,
        today_mtok=tokens_of_rest(
            before=row.plan, after=plan, period=(found.starts_at, found.ends_at), prorated_at=as_of
        ),
        acts_at=now,
        renews_at=found.ends_at,
        renewal_minor=renewal.price_minor,
        renewal_mtok=plan.monthly_mtok,
    )


def change_plan(
    *,
    organization_id: uuid.UUID,
    plan_key: str,
    currency: str = "",
    as_of: datetime | None = None,
    expected_minor: int | None = None,
    buyer: Buyer,
    now: datetime,
) -> Change:
    """Change to a plan: upwards at once, once it is paid; downwards when the period ends.

    With `expected_minor`, what a preview as of `as_of` said is charged today, or nothing is done. Opens scopes of its
    own and asks Stripe between them. Raises as `preview_change`, StateChanged (the amount is another by now), PlanBusy,
    CardDeclined.
    """
    if as_of is not None and not now - PREVIEW_LASTS <= as_of <= now + timedelta(minutes=1):
        raise StateChanged("What was shown is out of date: look again at what the change costs.")
    with changing(organization_id, now) as key:
        wanted = preview_change(
            organization_id=organization_id, plan_key=plan_key, currency=currency, as_of=as_of, now=now
        )
        if expected_minor is not None and wanted.today_minor != expected_minor:
            raise StateChanged("What was shown is out of date: look again at what the change costs.")
        _record(organization_id, "plan.change_asked", wanted, buyer.actor, now)
        if wanted.kind is ChangeKind.SUBSCRIBE:
            return _subscribe(organization_id, wanted, buyer, key, now)
        row, plan = _row_and_plan(organization_id, plan_key)
        assert row.stripe_id, "only what is subscribed to can be changed"
        found = subscriptions.subscription(row.stripe_id)
        if wanted.kind is ChangeKind.UPGRADE:
            price_id = _stripe_price(_price(plan, wanted.currency))
            subscriptions.upgrade(key=key, found=found, price_id=price_id, prorated_at=wanted.as_of)
        elif wanted.kind is ChangeKind.DOWNGRADE:
            price_id = _stripe_price(_price(plan, wanted.currency))
            subscriptions.change_next_price(key=key, found=found, price_id=price_id)
        else:
            subscriptions.end_with_period(key=key, found=found, ends=True)
        settled = settle(look(row.stripe_id), now=now)
    if wanted.kind is not ChangeKind.UPGRADE:
        return Change("scheduled")
    if settled.plan_id == plan.id:
        return Change("done")
    return Change("payment_needed", settled.pending_url)


def cancel_plan(*, organization_id: uuid.UUID, buyer: Buyer, now: datetime) -> Change:
    """Let the plan end with its period: then the organization goes over to the one that costs nothing."""
    return change_plan(organization_id=organization_id, plan_key=initial_plan().key, buyer=buyer, now=now)


def resume_plan(*, organization_id: uuid.UUID, actor: Actor, now: datetime) -> Change:
    """Take back what is scheduled for the period's end: the plan goes on as it is.

    Opens scopes of its own and asks Stripe between them. Raises PlanUnchanged, PlanBusy, and what the gateway does.
    """
    with changing(organization_id, now) as key:
        with organization_scope(organization_id):
            row = subscription()
        if row is None or row.stripe_id is None or row.next_plan is None:
            raise PlanUnchanged("Nothing is scheduled: the plan goes on as it is.")
        found = subscriptions.subscription(row.stripe_id)
        if found.ends_with_period:
            found = subscriptions.end_with_period(key=f"{key}-on", found=found, ends=False)
        if found.price.plan_key != row.plan.key:
            price_id = _stripe_price(_price(row.plan, row.currency))
            subscriptions.change_next_price(key=f"{key}-price", found=found, price_id=price_id)
        with organization_scope(organization_id):
            audit.record(
                organization_id=organization_id,
                actor=actor,
                action="plan.resumed",
                target_kind="organization",
                target_id=organization_id,
                before={"next_plan": row.next_plan.key},
                after={"plan": row.plan.key},
                now=now,
            )
        settle(look(row.stripe_id), now=now)
    return Change("done")


def _subscribe(organization_id: uuid.UUID, wanted: Preview, buyer: Buyer, key: str, now: datetime) -> Change:
    """Open Stripe's page for the first payment; an older page of the organization is closed before."""
    with organization_scope(organization_id):
        slug = Organization.objects.values_list("slug", flat=True).get(id=organization_id)
        row = Subscription.objects.get(organization_id=organization_id)
    if row.pending_session_id:
        earlier = checkout.expire_session(row.pending_session_id)
        if earlier.subscription_id:
            # It was paid meanwhile.
            settle(look(earlier.subscription_id), now=now)
            raise StateChanged("A plan was paid for just now: look again.")
    customer_id = ensure_customer(organization_id=organization_id, email=buyer.email, language=buyer.language, now=now)
    page = f"{settings.BASE_URL}/o/{slug}/billing/plan/"
    session = subscriptions.open_plan_session(
        key=key,
        organization_id=organization_id,
        customer_id=customer_id,
        price_id=_stripe_price(_price(wanted.after, wanted.currency)),
        language=buyer.language,
        success_url=f"{page}?back=paid",
        cancel_url=f"{page}?back=cancelled",
    )
    with organization_scope(organization_id):
        Subscription.objects.filter(organization_id=organization_id).update(pending_session_id=session.id)
    return Change("payment_needed", session.url)


def settle_session(*, organization_id: uuid.UUID, now: datetime) -> Subscription | None:
    """Look what became of the page that was opened last, as whoever comes back from it asks. Opens its own scopes."""
    with organization_scope(organization_id):
        row = Subscription.objects.filter(organization_id=organization_id).first()
    if row is None or not row.pending_session_id:
        return row
    session = checkout.session(row.pending_session_id)
    return settle(look(session.subscription_id), now=now) if session.subscription_id else row


@contextmanager
def changing(organization_id: uuid.UUID, now: datetime) -> Iterator[str]:
    """Keep other changes of the organization's plan out, and give a key for Stripe that no other change has.

    Raises PlanBusy.
    """
    with organization_scope(organization_id):
        free = Subscription.objects.filter(organization_id=organization_id).filter(
            Q(changing_until=None) | Q(changing_until__lt=now)
        )
        if not free.update(changing_until=now + LEASE, asked_no=F("asked_no") + 1):
            raise PlanBusy("The plan is being changed just now: try again in a moment.")
        row = Subscription.objects.get(organization_id=organization_id)
    try:
        yield f"plan-{row.id}-{row.asked_no}"
    finally:
        with organization_scope(organization_id):
            Subscription.objects.filter(id=row.id).update(changing_until=None)


def _row_and_plan(organization_id: uuid.UUID, plan_key: str) -> tuple[Subscription, Plan]:
    plan = find_plan(plan_key)
    with organization_scope(organization_id):
        row = subscription()
    if row is None:
        raise PlanNotForSale("This organization has no wallet yet.")
    return row, plan


def _first(row: Subscription, plan: Plan, currency: str, as_of: datetime) -> Preview:
    """Return what a first subscription costs, from today on."""
    if row.plan_id == plan.id:
        raise PlanUnchanged("The organization is on this plan already.")
    if row.by_staff:
        raise PlanNotForSale("Your plan was agreed with us: write to us to change it.")
    price = _price(plan, currency)
    return Preview(
        kind=ChangeKind.SUBSCRIBE,
        before=row.plan,
        after=plan,
        currency=price.currency,
        as_of=as_of,
        today_net_minor=price.price_minor,
        today_tax_minor=None,
        today_mtok=plan.monthly_mtok,
        acts_at=as_of,
        renews_at=months_after(as_of, 1),
        renewal_minor=price.price_minor,
        renewal_mtok=plan.monthly_mtok,
    )


def _kind(row: Subscription, plan: Plan) -> ChangeKind:
    """Return how a subscriber comes to a plan. Raises PlanUnchanged, PlanNotForSale."""
    if row.status == SubscriptionStatus.PAST_DUE:
        raise PlanNotForSale("A payment is overdue: pay it first.")
    if row.plan_id == plan.id:
        raise PlanUnchanged("The organization is on this plan already.")
    if row.next_plan_id == plan.id:
        raise PlanUnchanged("This is scheduled already, for the end of the period.")
    if plan.initial:
        return ChangeKind.CANCEL
    if row.next_plan is not None:
        raise PlanNotForSale("Another change is scheduled for the end of the period: take it back first.")
    return ChangeKind.UPGRADE if plan.position > row.plan.position else ChangeKind.DOWNGRADE


def _same_currency(row: Subscription, currency: str) -> str:
    if currency and currency != row.currency:
        raise PlanNotForSale(
            f"Your plan is paid in {row.currency}."
            f" To pay in {currency}, cancel it, and subscribe anew once it has ended."
        )
    return row.currency


def _price(plan: Plan, currency: str) -> PlanPrice:
    """Return what a plan costs. Raises PlanNotForSale."""
    if not plan.active or plan.initial:
        raise PlanNotForSale("This plan is not sold.")
    found = plan.prices.filter(currency=currency).first() if currency else plan.prices.order_by("currency").first()
    if found is None:
        raise PlanNotForSale("This plan is given by agreement: write to us." if not plan.prices.exists() else
                             f"This plan is not sold in {currency}.")  # fmt: skip
    return found


def _stripe_price(price: PlanPrice) -> str:
    """Return the price at Stripe that says the same as ours, made there if need be. Call it outside of a scope."""
    if price.stripe_id:
        return price.stripe_id
    stripe_id = subscriptions.create_price(
        price_id=price.id,
        plan_key=price.plan.key,
        name=price.plan.name,
        amount_minor=price.price_minor,
        currency=price.currency,
    )
    with platform_scope("keep the price of a plan at Stripe"):
        PlanPrice.objects.filter(id=price.id, price_minor=price.price_minor).update(stripe_id=stripe_id)
    return stripe_id


def _record(organization_id: uuid.UUID, action: str, wanted: Preview, actor: Actor, now: datetime) -> None:
    with organization_scope(organization_id):
        audit.record(
            organization_id=organization_id,
            actor=actor,
            action=action,
            target_kind="organization",
            target_id=organization_id,
            before={"plan": wanted.before.key},
            after={"plan": wanted.after.key, "total": money_text(wanted.today_minor, wanted.currency)},
            now=now,
        )
