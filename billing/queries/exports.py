"""The ledger's entries as lines of a file, however many: read in batches, each in its own scope."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any

from billing.enums import AccountKind, TransferKind
from billing.models import Entry
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
    found = Entry.objects.filter(organization_id=organization_id).order_by("-id")
    if account_id is not None:
        found = found.filter(account_id=account_id)
    if kind is not None:
        found = found.filter(transfer__kind=kind)
    if since is not None:
        found = found.filter(created_at__gte=since)
    if until is not None:
        found = found.filter(created_at__lt=until)
    rows = found.values_list(*_FIELDS)
    cursor: uuid.UUID | None = None
    while True:
        with organization_scope(organization_id):
            batch = list((rows.filter(id__lt=cursor) if cursor else rows)[:BATCH])
        for _id, at, transfer, transfer_kind, label, account_kind, grant, mtok, *told in batch:
            account = label or str(AccountKind(account_kind).label)
            yield [at.isoformat(), transfer, transfer_kind, account, account_kind, grant, _decimal(mtok), *told]
        if len(batch) < BATCH:
            return
        cursor = batch[-1][0]


def _decimal(mtok: int) -> str:
    sign = "-" if mtok < 0 else ""
    whole, thousandths = divmod(abs(mtok), 1000)
    return f"{sign}{whole}.{thousandths:03d}"
