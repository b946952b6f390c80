"""What Tokens cost that are bought in a free amount. Needs no scope: prices are no tenant's."""

from __future__ import annotations

import uuid
from dataclasses import dataclass

from billing.enums import Currency
from billing.errors import TopUpInvalid
from billing.models import Package, TopUpTier
from billing.money import money_text
from billing.pricing import MTOK_PER_TOKEN

# Stripe takes no more than eight digits at once.
MOST_MINOR = 99_999_999
PER_THOUSAND = 1000 * MTOK_PER_TOKEN


@dataclass(frozen=True)
class Offer:
    """What would be bought: so many mtok for so much money, which last so many days (None: for ever)."""

    name: str
    tokens_mtok: int
    amount_minor: int
    currency: str
    valid_days: int | None
    models: tuple[str, ...] = ()
    package_id: uuid.UUID | None = None

    @property
    def price(self) -> str:
        return money_text(self.amount_minor, self.currency)


def tiers_of(currency: str) -> list[TopUpTier]:
    """Return the tiers of a currency, the lowest first."""
    return list(TopUpTier.objects.filter(currency=currency).order_by("from_mtok"))


def price_of(tokens_mtok: int, minor_per_thousand: int) -> int:
    """Return what so many mtok cost at a price for 1,000 Tokens, a part of the smallest coin as a whole one."""
    return -(-tokens_mtok * minor_per_thousand // PER_THOUSAND)


def offer_of_amount(*, tokens_mtok: int, currency: str) -> Offer:
    """Return what a free amount costs. Raises TopUpInvalid: too few, too many, not whole, not sold in this currency."""
    if currency not in Currency.values:
        raise TopUpInvalid("currency", "This must be a currency that Tokens are sold in.")
    tiers = tiers_of(currency)
    if not tiers:
        raise TopUpInvalid("currency", f"No free amounts are sold in {currency}.")
    reached = [tier for tier in tiers if tier.from_mtok <= tokens_mtok]
    if not reached:
        raise TopUpInvalid(
            "tokens", f"The least that can be bought is {tiers[0].from_mtok // MTOK_PER_TOKEN:,} Tokens."
        )
    if tokens_mtok % MTOK_PER_TOKEN:
        raise TopUpInvalid("tokens", "Only whole Tokens can be bought.")
    amount_minor = price_of(tokens_mtok, reached[-1].minor_per_thousand)
    if amount_minor > MOST_MINOR:
        most = money_text(MOST_MINOR, currency)
        raise TopUpInvalid("tokens", f"At most {most} can be paid at once: buy fewer, or ask us for an offer.")
    return Offer("", tokens_mtok, amount_minor, currency, reached[-1].valid_days)


def offer_of_package(package_id: uuid.UUID) -> Offer:
    """Return what a package on sale costs. Raises TopUpInvalid where there is none, or nothing to pay for it."""
    package = Package.objects.filter(id=package_id, active=True).first()
    if package is None:
        raise TopUpInvalid("package", "There is no such package on sale.")
    if not 0 < package.price_minor <= MOST_MINOR:
        raise TopUpInvalid("package", "This package cannot be paid here.")
    return Offer(
        name=package.name,
        tokens_mtok=package.tokens_mtok,
        amount_minor=package.price_minor,
        currency=package.currency,
        valid_days=package.valid_days,
        models=tuple(package.models),
        package_id=package.id,
    )


def cheaper_offer(offer: Offer) -> Offer | None:
    """Return the next tier's least amount where it is more Tokens for less money than this one."""
    above = TopUpTier.objects.filter(currency=offer.currency, from_mtok__gt=offer.tokens_mtok).order_by("from_mtok")
    for tier in above:
        amount_minor = price_of(tier.from_mtok, tier.minor_per_thousand)
        if amount_minor <= offer.amount_minor:
            return Offer("", tier.from_mtok, amount_minor, offer.currency, tier.valid_days)
    return None
