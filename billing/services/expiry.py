"""Letting grants expire."""

from __future__ import annotations

import uuid
from collections import defaultdict
from datetime import datetime

from django.db.models import F, QuerySet

from billing.enums import AccountKind, TransferKind
from billing.models import Account, Grant, Lot
from billing.services.locks import lock_accounts
from billing.services.transfers import Leg, post
from tenants.scope import platform_scope

ACCOUNTS_AT_ONCE = 200


def expire_grants(*, now: datetime) -> int:
    """Move what is left of expired grants to the expired accounts, in every organization; return the mtok moved.

    Held Tokens are left alone: captured, they were spent in time; released, the next run takes them. So are frozen
    ones: thawed, the next run takes them. Each transaction locks some accounts of one organization. Safe to repeat and
    to race.
    """
    with platform_scope("expire grants"):
        overdue = _overdue(now).values_list("organization_id", flat=True)
        organization_ids = list(overdue.distinct().order_by("organization_id"))
    expired = 0
    for organization_id in organization_ids:
        while moved := _expire_some(organization_id, now):
            expired += moved
    return expired


def _overdue(now: datetime) -> QuerySet[Lot]:
    return Lot.objects.filter(spent=False, frozen=False, expires_at__lte=now, posted_mtok__gt=F("held_mtok"))


def _expire_some(organization_id: uuid.UUID, now: datetime) -> int:
    with platform_scope("expire grants"):
        overdue = _overdue(now).filter(organization_id=organization_id)
        account_ids = overdue.values_list("account_id", flat=True).distinct().order_by("account_id")[:ACCOUNTS_AT_ONCE]
        sink_id = Account.objects.values_list("id", flat=True).get(
            organization_id=organization_id, kind=AccountKind.EXPIRED
        )
        accounts = lock_accounts([sink_id, *account_ids])
        left: dict[Grant, list[Lot]] = defaultdict(list)
        for lot in overdue.filter(account_id__in=accounts).select_related("grant").order_by("grant_id", "id"):
            left[lot.grant].append(lot)
        for grant, lots in left.items():
            free = {accounts[lot.account_id]: lot.posted_mtok - lot.held_mtok for lot in lots}
            post(
                kind=TransferKind.EXPIRY,
                legs=[
                    *(Leg(account, grant, -mtok) for account, mtok in free.items()),
                    Leg(accounts[sink_id], grant, sum(free.values())),
                ],
                now=now,
            )
        return sum(lot.posted_mtok - lot.held_mtok for lots in left.values() for lot in lots)
