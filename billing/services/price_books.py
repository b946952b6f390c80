"""Putting new prices in force."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import structlog
from django.db import connection
from django.db.models import Max

from billing.models import PriceBook
from billing.pricing import Prices
from billing.queries.price_books import forget_prices
from tenants.scope import platform_scope

log = structlog.get_logger(__name__)


def set_price_book(*, scheme: str, parameters: dict[str, Any], active_from: datetime, note: str = "") -> PriceBook:
    """Write the next version of the price book; what was priced before keeps the version that priced it.

    Opens the platform's scope: no other role may write prices. Takes an advisory lock, so that versions are numbered
    one by one. Raises `InvalidPricesError`.
    """
    with platform_scope("set price book"):
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(hashtext('billing_pricebook'))")
        version = (PriceBook.objects.aggregate(last=Max("version"))["last"] or 0) + 1
        Prices.from_parameters(version, scheme, parameters)
        book = PriceBook.objects.create(
            version=version, scheme=scheme, parameters=parameters, active_from=active_from, note=note
        )
    forget_prices()
    log.info("price_book_set", version=version, scheme=scheme, active_from=active_from.isoformat(), note=note)
    return book
