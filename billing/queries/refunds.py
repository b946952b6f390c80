"""Refunds and disputes as people and programs see them. All read in the scope of the caller's transaction."""

from __future__ import annotations

import uuid

from django.db.models import QuerySet

from billing.models import Dispute, Refund


def refunds(organization_id: uuid.UUID) -> QuerySet[Refund]:
    """Return an organization's refunds, latest first, each with its payment."""
    return Refund.objects.filter(organization_id=organization_id).select_related("payment").order_by("-id")


def disputes(organization_id: uuid.UUID) -> QuerySet[Dispute]:
    """Return an organization's disputes, latest first, each with its payment."""
    return Dispute.objects.filter(organization_id=organization_id).select_related("payment").order_by("-id")
