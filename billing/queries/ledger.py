"""The journal: transfers and their entries. Read in the scope of the caller's transaction."""

from __future__ import annotations

import uuid
from datetime import datetime

from django.db.models import Exists, OuterRef, Prefetch, QuerySet

from billing.enums import TransferKind
from billing.models import Entry, LedgerCheck, Transfer


def transfers(
    organization_id: uuid.UUID,
    *,
    account_id: uuid.UUID | None = None,
    kind: TransferKind | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
) -> QuerySet[Transfer]:
    """Return an organization's transfers, latest first, entries with accounts and grants prefetched.

    Ids grow with time and are the order, so a page's last id is the cursor: `.filter(id__lt=cursor)[:limit]`.
    """
    found = Transfer.objects.filter(organization_id=organization_id)
    if account_id is not None:
        found = found.filter(Exists(Entry.objects.filter(transfer=OuterRef("id"), account_id=account_id)))
    if kind is not None:
        found = found.filter(kind=kind)
    if since is not None:
        found = found.filter(created_at__gte=since)
    if until is not None:
        found = found.filter(created_at__lt=until)
    entries = Prefetch("entries", Entry.objects.select_related("account", "grant").order_by("amount_mtok", "id"))
    return found.prefetch_related(entries).order_by("-id")


def last_check(organization_id: uuid.UUID) -> LedgerCheck | None:
    """Return the result of the last verification of an organization's ledger, or None before the first."""
    return LedgerCheck.objects.filter(organization_id=organization_id).first()
