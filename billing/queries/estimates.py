"""What a month of work would cost: the cheapest plan that carries it, and Tokens on top. Needs no scope."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from billing.models import Plan
from billing.pricing import MTOK_PER_TOKEN
from billing.queries.plans import plans_listed
from billing.queries.top_ups import price_of, tiers_of


@dataclass(frozen=True)
class Estimate:
    """A plan, and the Tokens to buy beside those that it brings. Money in minor units, without tax."""

    plan: Plan
    plan_minor: int
    more_mtok: int
    more_minor: int

    @property
    def total_minor(self) -> int:
        return self.plan_minor + self.more_minor


@dataclass(frozen=True)
class OnSale:
    """What can be bought in a currency: read once, asked often. `tiers`: from how many mtok, minor units a thousand."""

    currency: str
    plans: list[Plan]
    tiers: list[tuple[int, int]]


def on_sale(currency: str) -> OnSale:
    """Read what can be bought in a currency now."""
    tiers = [(tier.from_mtok, tier.minor_per_thousand) for tier in tiers_of(currency)]
    return OnSale(currency, list(plans_listed()), tiers)


def cheapest(*, month_mtok: int, peak_per_second: Decimal, peak_hour_mtok: int, sale: OnSale) -> Estimate | None:
    """Return the cheapest of the plans whose ceilings carry the peak; None where none that is sold does.

    `peak_per_second` are requests, `peak_hour_mtok` what they cost in the busiest hour.
    """
    found = []
    for plan in sale.plans:
        price = next((price.price_minor for price in plan.prices.all() if price.currency == sale.currency), None)
        if price is None and not plan.initial:
            continue
        if plan.requests_per_second is not None and plan.requests_per_second < peak_per_second:
            continue
        if plan.tokens_per_hour_mtok is not None and plan.tokens_per_hour_mtok < peak_hour_mtok:
            continue
        more_mtok = max(0, month_mtok - plan.monthly_mtok)
        found.append(Estimate(plan, price or 0, more_mtok, _price_of_more(more_mtok, sale.tiers)))
    return min(found, key=lambda estimate: estimate.total_minor, default=None)


def _price_of_more(mtok: int, tiers: list[tuple[int, int]]) -> int:
    """Return what so many Tokens cost when they are bought in one amount, at least the smallest that is sold."""
    if mtok <= 0 or not tiers:
        return 0
    whole = max(-(-mtok // MTOK_PER_TOKEN) * MTOK_PER_TOKEN, tiers[0][0])
    reached = max((tier for tier in tiers if tier[0] <= whole), key=lambda tier: tier[0])
    # More Tokens may be cheaper than fewer, where the next step begins.
    return min([price_of(whole, reached[1]), *(price_of(start, each) for start, each in tiers if start > whole)])
