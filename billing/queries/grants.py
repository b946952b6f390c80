"""Grants, and what is left of them. All read in the scope of the caller's transaction."""

from __future__ import annotations

import uuid
from datetime import datetime

from django.db.models import F, Q, QuerySet, Sum
from django.db.models.functions import Coalesce

from billing.models import Grant, Lot
from billing.queries.balances import GrantBalance


def grants() -> QuerySet[Grant]:
    """Return the grants of the organization in scope, latest first, each with `remaining_mtok` (held ones count)."""
    return Grant.objects.annotate(remaining_mtok=Coalesce(Sum("lots__posted_mtok"), 0)).order_by("-id")


def lots_of(account_id: uuid.UUID, *, now: datetime) -> list[GrantBalance]:
    """Return an account's own shares of grants that are not used up, expired or frozen, in burn order.

    `amount_mtok` is what it still owns of the grant, `remaining_mtok` what of that is not held.
    """
    lots = (
        Lot.objects.filter(
            Q(expires_at__isnull=True) | Q(expires_at__gt=now), account_id=account_id, spent=False, frozen=False
        )
        .select_related("grant")
        .order_by("priority", F("expires_at").asc(nulls_last=True), "granted_at", "id")
    )
    return [
        GrantBalance(
            id=lot.grant_id,
            source=lot.grant.source,
            amount_mtok=lot.posted_mtok,
            remaining_mtok=lot.posted_mtok - lot.held_mtok,
            expires_at=lot.expires_at,
            granted_at=lot.granted_at,
        )
        for lot in lots
    ]


def frozen_of(account_id: uuid.UUID) -> int:
    """Return how much of what an account owns is frozen (mtok)."""
    lots = Lot.objects.filter(account_id=account_id, spent=False, frozen=True)
    return int(lots.aggregate(mtok=Coalesce(Sum(F("posted_mtok") - F("held_mtok")), 0))["mtok"])
