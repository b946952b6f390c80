"""The ledger's entries as lines of a file, however many: read in batches, each in its own scope."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any

from django.db.models import Q

from billing.enums import AccountKind, TransferKind
from billing.models import Entry
from billing.queries.ledger import ids_within
from tenants.scope import organization_scope

BATCH = 2_000
COLUMNS = ["time", "transfer", "kind", "account", "account_kind", "grant", "tokens", "reference", "reason", "actor"]
_FIELDS = (
    "id", "created_at", "transfer_id", "transfer__kind", "account__label", "account__kind", "grant_id", "amount_mtok",
    "transfer__reference", "transfer__reason", "transfer__actor",
)  # fmt: skip


def entry_rows(
    organization_id: uuid.UUID,
    *,
    account_id: uuid.UUID | None = None,
    kind: TransferKind | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
) -> Iterator[Sequence[Any]]:
    """Yield the heading and a line for each entry that fits, latest first.

    No transaction lasts longer than a batch, and no more than a batch is in memory.
    """
    yield COLUMNS
    found = Entry.objects.filter(organization_id=organization_id)
    first, end = ids_within(since, until)
    # Transfers and their entries are numbered by time; an account's entries lie in the order of their transfers.
    key = "transfer_id" if account_id is not None else "id"
    if account_id is not None:
        found = found.filter(account_id=account_id)
    if kind is not None:
        found = found.filter(transfer__kind=kind)
    if since is not None:
        found = found.filter(created_at__gte=since, **{f"{key}__gte": first})
    if until is not None:
        found = found.filter(created_at__lt=until, **{f"{key}__lt": end})
    rows = found.order_by(*dict.fromkeys((f"-{key}", "-id"))).values_list(*_FIELDS)
    behind = Q()
    while True:
        with organization_scope(organization_id):
            batch = list(rows.filter(behind)[:BATCH])
        for _id, at, transfer, transfer_kind, label, account_kind, grant, mtok, *told in batch:
            account = label or str(AccountKind(account_kind).label)
            yield [at.isoformat(), transfer, transfer_kind, account, account_kind, grant, _decimal(mtok), *told]
        if len(batch) < BATCH:
            return
        last_id, last_transfer = batch[-1][0], batch[-1][2]
        behind = Q(id__lt=last_id)
        if key != "id":
            behind = Q(transfer_id__lte=last_transfer) & (Q(transfer_id__lt=last_transfer) | behind)


def _decimal(mtok: int) -> str:
    sign = "-" if mtok < 0 else ""
    whole, thousandths = divmod(abs(mtok), 1000)
    return f"{sign}{whole}.{thousandths:03d}"
