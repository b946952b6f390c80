"""Changing what the platform sells. What was sold before stays as it was: its grant says what it was."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import structlog

from billing.errors import PackageInvalid, PackageUnknown
from billing.models import Package, TopUpTier
from billing.pricing import MTOK_PER_TOKEN
from tenants.scope import platform_scope

log = structlog.get_logger(__name__)


def set_package(
    *,
    name: str,
    currency: str,
    tokens_mtok: int,
    price_minor: int,
    valid_days: int | None = None,
    models: Sequence[str] = (),
    position: int = 0,
    now: datetime,
) -> Package:
    """Put a package on sale, or change the one of this name and currency. Opens the platform's scope.

    `price_minor` is in fen or cents; `models` is empty for all. Raises PackageInvalid.
    """
    if not name.strip() or tokens_mtok <= 0 or price_minor < 0 or (valid_days is not None and valid_days <= 0):
        raise PackageInvalid(
            "A package has a name, Tokens, a price that is not negative, and days of validity or none."
        )
    values = {
        "tokens_mtok": tokens_mtok,
        "price_minor": price_minor,
        "valid_days": valid_days,
        "models": list(models),
        "position": position,
        "active": True,
        "updated_at": now,
    }
    with platform_scope("set package"):
        package, created = Package.objects.update_or_create(
            name=name, currency=currency, defaults=values, create_defaults={**values, "created_at": now}
        )
    log.info(
        "package_set", package=name, currency=currency, created=created, tokens_mtok=tokens_mtok, price=price_minor
    )
    return package


def retire_package(*, name: str, currency: str, now: datetime) -> None:
    """Take a package off sale. Opens the platform's scope. Raises PackageUnknown."""
    with platform_scope("retire package"):
        changed = Package.objects.filter(name=name, currency=currency, active=True).update(active=False, updated_at=now)
    if not changed:
        raise PackageUnknown("There is no such package on sale.")
    log.info("package_retired", package=name, currency=currency)


def set_tier(
    *, currency: str, from_mtok: int, minor_per_thousand: int, valid_days: int | None = None, now: datetime
) -> TopUpTier:
    """Say what 1,000 Tokens cost from an amount on, and how long they last. Opens the platform's scope.

    `minor_per_thousand` is in fen or cents. The lowest tier of a currency is the least that can be bought in it; what
    was begun to be paid keeps its price. Raises PackageInvalid.
    """
    if (
        from_mtok <= 0
        or from_mtok % MTOK_PER_TOKEN
        or minor_per_thousand <= 0
        or (valid_days is not None and valid_days <= 0)
    ):
        raise PackageInvalid("A tier begins at whole Tokens, has a price, and days of validity or none.")
    values = {"minor_per_thousand": minor_per_thousand, "valid_days": valid_days}
    with platform_scope("set tier"):
        tier, created = TopUpTier.objects.update_or_create(
            currency=currency, from_mtok=from_mtok, defaults=values, create_defaults={**values, "created_at": now}
        )
    log.info("tier_set", currency=currency, from_mtok=from_mtok, created=created, price=minor_per_thousand)
    return tier


def drop_tier(*, currency: str, from_mtok: int) -> None:
    """Take a tier away. Opens the platform's scope. Raises PackageUnknown."""
    with platform_scope("drop tier"):
        dropped = TopUpTier.objects.filter(currency=currency, from_mtok=from_mtok).delete()[0]
    if not dropped:
        raise PackageUnknown("There is no such tier.")
    log.info("tier_dropped", currency=currency, from_mtok=from_mtok)
