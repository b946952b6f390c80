"""Changing the plans and boosts that the platform offers. They are data: a change acts on all who have the plan."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from decimal import Decimal

import structlog

from billing.enums import Currency
from billing.errors import PlanInvalid, PlanUnknown
from billing.models import BoostOffer, Plan, PlanPrice
from billing.services.subscriptions import keep_ceilings
from tenants.scope import platform_scope

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class PlanOffer:
    """What a plan gives and allows; None and an empty sequence bind nothing. Prices per month in fen and cents."""

    name: str
    monthly_mtok: int = 0
    tokens_valid_days: int | None = None
    tokens_per_hour_mtok: int | None = None
    requests_per_second: Decimal | None = None
    burst: int | None = None
    concurrency: int | None = None
    weight: int = 1
    sub_token_days: int = 365
    models: Sequence[str] = ()
    position: int = 0
    listed: bool = True
    prices: Mapping[str, int] = field(default_factory=dict)


def set_plan(*, key: str, terms: PlanOffer, now: datetime) -> Plan:
    """Offer a plan, or change the one of this key for everybody who has it, at once.

    A new price is for those who come to the plan from now on; who pays for it already goes on at the old one. Opens the
    platform's scope; then locks the accounts of each organization whose Tokens per hour change. Raises PlanInvalid.
    """
    _check(key, terms)
    values = asdict(terms) | {"models": list(terms.models), "active": True, "updated_at": now}
    prices = values.pop("prices")
    with platform_scope("set plan"):
        if Plan.objects.filter(position=terms.position).exclude(key=key).exists():
            raise PlanInvalid("Another plan stands at this position, which says which of two is the higher.")
        plan, created = Plan.objects.update_or_create(
            key=key, defaults=values, create_defaults={**values, "created_at": now}
        )
        PlanPrice.objects.filter(plan=plan).exclude(currency__in=prices).delete()
        for currency, price_minor in prices.items():
            price = PlanPrice.objects.filter(plan=plan, currency=currency).first()
            if price is None:
                PlanPrice.objects.create(plan=plan, currency=currency, price_minor=price_minor)
            elif price.price_minor != price_minor:
                # What Stripe has cannot change its amount: the next who buys makes another there.
                price.price_minor, price.stripe_id = price_minor, ""
                price.save(update_fields=["price_minor", "stripe_id"])
    log.info("plan_set", plan=key, created=created)
    keep_ceilings(now=now)
    return plan


def retire_plan(*, key: str, now: datetime) -> None:
    """Take a plan off sale; who has it keeps it. Opens the platform's scope. Raises PlanUnknown, PlanInvalid."""
    with platform_scope("retire plan"):
        plan = Plan.objects.filter(key=key, active=True).first()
        if plan is None:
            raise PlanUnknown("There is no such plan on sale.")
        if plan.initial:
            raise PlanInvalid("New organizations begin on this plan: choose another for that first.")
        Plan.objects.filter(id=plan.id).update(active=False, updated_at=now)
    log.info("plan_retired", plan=key)


def set_initial_plan(*, key: str, now: datetime) -> None:
    """Let new organizations begin, and those that stop paying end, on this plan. Raises PlanUnknown, PlanInvalid."""
    with platform_scope("set initial plan"):
        plan = Plan.objects.filter(key=key, active=True).first()
        if plan is None:
            raise PlanUnknown("There is no such plan on sale.")
        if plan.prices.exists():
            raise PlanInvalid("Organizations begin on a plan that costs nothing.")
        Plan.objects.filter(initial=True).update(initial=False, updated_at=now)
        Plan.objects.filter(id=plan.id).update(initial=True, updated_at=now)
    log.info("plan_made_initial", plan=key)


def set_boost_offer(
    *, name: str, currency: str, factor: Decimal, hours: int, price_minor: int, position: int = 0, now: datetime
) -> BoostOffer:
    """Put a boost on sale, or change the one of this name and currency. Raises PlanInvalid."""
    if not name.strip() or factor <= 1 or hours <= 0 or price_minor <= 0 or currency not in Currency.values:
        raise PlanInvalid("A boost has a name, a factor above 1, hours and a price.")
    values = {
        "factor": factor, "hours": hours, "price_minor": price_minor, "position": position, "active": True,
        "updated_at": now,
    }  # fmt: skip
    with platform_scope("set boost"):
        offer, _ = BoostOffer.objects.update_or_create(
            name=name, currency=currency, defaults=values, create_defaults={**values, "created_at": now}
        )
    log.info("boost_set", boost=name, currency=currency)
    return offer


def retire_boost_offer(*, name: str, currency: str, now: datetime) -> None:
    """Take a boost off sale; those that were bought run on. Raises PlanUnknown."""
    with platform_scope("retire boost"):
        found = BoostOffer.objects.filter(name=name, currency=currency, active=True)
        changed = found.update(active=False, updated_at=now)
    if not changed:
        raise PlanUnknown("There is no such boost on sale.")
    log.info("boost_retired", boost=name, currency=currency)


def _check(key: str, terms: PlanOffer) -> None:
    ceilings = (terms.tokens_valid_days, terms.tokens_per_hour_mtok, terms.requests_per_second, terms.burst)
    if not key.strip() or not terms.name.strip():
        raise PlanInvalid("A plan has a key and a name.")
    if any(number is not None and number <= 0 for number in (*ceilings, terms.concurrency)):
        raise PlanInvalid("A ceiling is a positive number, or none.")
    if terms.monthly_mtok < 0 or terms.weight <= 0 or terms.sub_token_days <= 0 or terms.position < 0:
        raise PlanInvalid("A plan's Tokens, position, weight and days are not negative, the last two not 0 either.")
    if any(price <= 0 or currency not in Currency.values for currency, price in terms.prices.items()):
        raise PlanInvalid("A price is positive; a plan that costs nothing has none.")
