"""Payments as people and programs see them. All read in the scope of the caller's transaction."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Sequence
from typing import Any

from django.db.models import QuerySet

from billing.models import Payment
from billing.money import money_plain
from tenants.scope import organization_scope

CSV_BATCH = 500
CSV_COLUMNS = [
    "payment",
    "begun",
    "paid",
    "kind",
    "status",
    "what",
    "tokens",
    "currency",
    "price",
    "discount",
    "tax",
    "total",
    "refunded",
    "method",
    "invoice",
    "invoice_url",
    "receipt_url",
    "grant",
]


def payments() -> QuerySet[Payment]:
    """Return the payments of the organization in scope, latest first."""
    return Payment.objects.order_by("-id")


def payment_rows(organization_id: uuid.UUID) -> Iterator[Sequence[Any]]:
    """Yield all payments as rows of CSV, the columns' names first, latest first. Opens scopes of its own."""
    yield CSV_COLUMNS
    cursor: uuid.UUID | None = None
    while True:
        with organization_scope(organization_id):
            found = payments()
            rows = list((found.filter(id__lt=cursor) if cursor else found)[:CSV_BATCH])
        for row in rows:
            yield [
                row.id,
                row.created_at.isoformat(),
                row.paid_at.isoformat() if row.paid_at else "",
                row.kind,
                row.status,
                row.label,
                f"{row.tokens_mtok // 1000}.{row.tokens_mtok % 1000:03d}",
                row.currency,
                *(money_plain(minor) for minor in (row.amount_minor, row.discount_minor, row.tax_minor)),
                money_plain(row.total_minor),
                money_plain(row.refunded_minor),
                row.method,
                row.invoice_number,
                row.invoice_url,
                row.receipt_url,
                row.grant_id or "",
            ]
        if len(rows) < CSV_BATCH:
            return
        cursor = rows[-1].id
