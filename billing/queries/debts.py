"""What an organization owes, and what is frozen. All read in the scope of the caller's transaction."""

from __future__ import annotations

import uuid

from django.db.models import F, QuerySet, Sum
from django.db.models.functions import Coalesce

from billing.models import Debt

_LEFT = F("owed_mtok") - F("settled_mtok") - F("dropped_mtok")


def debts(organization_id: uuid.UUID) -> QuerySet[Debt]:
    """Return an organization's debts, settled ones too, latest first, each with its grant."""
    return Debt.objects.filter(organization_id=organization_id).select_related("grant").order_by("-id")


def owed_mtok(organization_id: uuid.UUID) -> int:
    """Return what an organization owes in all; above 0 it spends nothing."""
    found = Debt.objects.filter(organization_id=organization_id, outstanding=True)
    return int(found.aggregate(mtok=Coalesce(Sum(_LEFT), 0))["mtok"])
