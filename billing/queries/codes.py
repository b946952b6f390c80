"""Codes: what an organization has used of them, and for staff all there are."""

from __future__ import annotations

import uuid
from dataclasses import dataclass

from django.db.models import Count, F, Q, QuerySet, Sum

from billing.enums import RedemptionStatus
from billing.models import Code, CodeRedemption, CodeSet


@dataclass(frozen=True)
class Off:
    """A code whose count of uses is not what its redemptions say."""

    code_id: uuid.UUID
    counted: int
    redemptions: int


def redemptions(organization_id: uuid.UUID) -> QuerySet[CodeRedemption]:
    """Return the codes that an organization has used or reserved, newest first. Needs its scope."""
    return (
        CodeRedemption.objects.filter(organization_id=organization_id)
        .exclude(status=RedemptionStatus.RELEASED)
        .select_related("grant")
        .order_by("-id")
    )


def code_sets() -> QuerySet[CodeSet]:
    """Return every set with `code_count`, `use_count` and `most_uses`, newest first. Needs the platform's scope."""
    return CodeSet.objects.annotate(
        code_count=Count("codes"), use_count=Sum("codes__uses", default=0), most_uses=Sum("codes__max_uses", default=0)
    ).order_by("-id")


def redemptions_of(code_set_id: uuid.UUID) -> QuerySet[CodeRedemption]:
    """Return who has used a set's codes, newest first. Needs the platform's scope."""
    return (
        CodeRedemption.objects.filter(code_set_id=code_set_id).select_related("organization", "grant").order_by("-id")
    )


def miscounted_codes() -> list[Off]:
    """Return the codes whose uses are not the redemptions that count. Needs the platform's scope.

    Redemptions of organizations that were erased are gone, so a code may count more than there are, never less.
    """
    counted = Count("redemptions", filter=Q(redemptions__slot__isnull=False))
    found = Code.objects.annotate(counted=counted).filter(counted__gt=F("uses"))
    return [Off(code.id, code.uses, code.counted) for code in found]
