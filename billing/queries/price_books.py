"""The price book that is in force."""

from __future__ import annotations

import time
from functools import lru_cache

from django.utils import timezone

from billing.models import PriceBook
from billing.pricing import Prices

CACHE_SECONDS = 5.0


def active_price_book() -> Prices:
    """Return the prices in force, at most `CACHE_SECONDS` old; a job keeps the version that priced it."""
    return _read(int(time.monotonic() / CACHE_SECONDS))


def price_book(version: int) -> Prices:
    """Return the prices of one version; raise `PriceBook.DoesNotExist`."""
    return _prices(PriceBook.objects.get(version=version))


def forget_prices() -> None:
    """Empty this process's cache."""
    _read.cache_clear()


@lru_cache(maxsize=1)
def _read(period: int) -> Prices:
    return _prices(PriceBook.objects.filter(active_from__lte=timezone.now()).latest("version"))


def _prices(book: PriceBook) -> Prices:
    return Prices.from_parameters(book.version, book.scheme, book.parameters)
