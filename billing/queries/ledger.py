"""The journal: transfers and their entries. Read in the scope of the caller's transaction."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

from django.db.models import Prefetch, QuerySet

from billing.enums import TransferKind
from billing.models import Entry, LedgerCheck, Transfer
from tenants.identifiers import first_id_at

# Ids are made within this of the times that rows say: a range of ids finds a range of time without reading the rest.
CLOCKS_APART = timedelta(hours=1)
# Any time may be asked for; there is nothing before and after these.
FIRST, LAST = datetime(2000, 1, 1, tzinfo=UTC), datetime(3000, 1, 1, tzinfo=UTC)


def ids_within(since: datetime | None, until: datetime | None) -> tuple[uuid.UUID | None, uuid.UUID | None]:
    """Return from which id to before which id rows of this time are, None for no bound."""
    first = None if since is None else first_id_at(min(max(since, FIRST), LAST) - CLOCKS_APART)
    end = None if until is None else first_id_at(min(max(until, FIRST), LAST) + CLOCKS_APART)
    return first, end


def transfers(organization_id: uuid.UUID) -> QuerySet[Transfer]:
    """Return an organization's transfers, latest first, entries with accounts and grants prefetched.

    Ids grow with time and are the order.
    """
    entries = Prefetch("entries", Entry.objects.select_related("account", "grant").order_by("amount_mtok", "id"))
    return Transfer.objects.filter(organization_id=organization_id).prefetch_related(entries).order_by("-id")


def transfer_page(
    organization_id: uuid.UUID,
    *,
    account_id: uuid.UUID | None = None,
    kind: TransferKind | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
    before: uuid.UUID | None = None,
    limit: int,
) -> list[Transfer]:
    """Return at most `limit` transfers that fit, latest first; `before` is the last id of the page before.

    Those of an account are found by its entries: nobody would wait for them among ten million that touch others.
    """
    found = transfers(organization_id)
    if account_id is None:
        conditions = _conditions("", kind, since, until, before)
        return list(found.filter(**conditions)[:limit])
    entries = Entry.objects.filter(organization_id=organization_id, account_id=account_id)
    entries = entries.filter(**_conditions("transfer__", kind, since, until, before)).order_by("-transfer_id")
    ids = list(entries.values_list("transfer_id", flat=True).distinct()[:limit])
    return list(found.filter(id__in=ids))


def _conditions(
    prefix: str, kind: TransferKind | None, since: datetime | None, until: datetime | None, before: uuid.UUID | None
) -> dict[str, Any]:
    """Return what to filter transfers by, or with a prefix what points to them."""
    key = "transfer_id" if prefix else "id"
    conditions: dict[str, Any] = {}
    if kind is not None:
        conditions[f"{prefix}kind"] = kind
    first, end = ids_within(since, until)
    if since is not None:
        conditions |= {f"{prefix}created_at__gte": since, f"{key}__gte": first}
    if until is not None:
        conditions[f"{prefix}created_at__lt"] = until
    if before is not None or end is not None:
        conditions[f"{key}__lt"] = min(one for one in (before, end) if one is not None)
    return conditions


def last_check(organization_id: uuid.UUID) -> LedgerCheck | None:
    """Return the result of the last verification of an organization's ledger, or None before the first."""
    return LedgerCheck.objects.filter(organization_id=organization_id).first()
