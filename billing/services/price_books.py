"""Putting new prices in force."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.db import connection, transaction
from django.db.models import Max

from billing.models import PriceBook
from billing.pricing import Prices
from billing.queries.price_books import forget_prices


def set_price_book(*, scheme: str, parameters: dict[str, Any], active_from: datetime, note: str = "") -> PriceBook:
    """Write the next version of the price book; what was priced before keeps the version that priced it.

    Takes an advisory lock, so that versions are numbered one by one. Raises `InvalidPricesError`.
    """
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(hashtext('billing_pricebook'))")
        version = (PriceBook.objects.aggregate(last=Max("version"))["last"] or 0) + 1
        Prices.from_parameters(version, scheme, parameters)
        book = PriceBook.objects.create(
            version=version, scheme=scheme, parameters=parameters, active_from=active_from, note=note
        )
    forget_prices()
    return book
