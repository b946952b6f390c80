"""Freezing what is left of grants, wherever it lies, and thawing it."""

from __future__ import annotations

import uuid
from collections.abc import Collection
from datetime import datetime

from django.db import transaction
from django.db.models import Exists, OuterRef

from billing.models import Freeze, Lot
from billing.services.locks import lock_whatever


def freeze(*, organization_id: uuid.UUID, grant_ids: Collection[uuid.UUID], reference: str, now: datetime) -> None:
    """Let nothing of these grants be held, moved, taken back or expired any more, until `reference` is thawed.

    In the wallet, in pools and in sub-tokens alike. What is held is captured or released as usual, and what is released
    is frozen then. Safe to repeat. Needs the organization's scope; locks every account that ever had such Tokens.
    """
    with transaction.atomic():
        lock_holders(grant_ids)
        Freeze.objects.bulk_create(
            [
                Freeze(organization_id=organization_id, grant_id=grant_id, reference=reference, created_at=now)
                for grant_id in grant_ids
            ],
            ignore_conflicts=True,
        )
        Freeze.objects.filter(grant_id__in=grant_ids, reference=reference).update(thawed_at=None)
        Lot.objects.filter(grant_id__in=grant_ids, frozen=False).update(frozen=True)


def thaw(*, grant_ids: Collection[uuid.UUID], reference: str, now: datetime) -> None:
    """Let go of what was frozen for `reference`, unless something else keeps it frozen.

    Expiry is as it was: what should have expired meanwhile goes with the next expiry. Safe to repeat. Needs the
    organization's scope; locks as `freeze`.
    """
    with transaction.atomic():
        lock_holders(grant_ids)
        Freeze.objects.filter(grant_id__in=grant_ids, reference=reference, thawed_at=None).update(thawed_at=now)
        others = Freeze.objects.filter(grant_id=OuterRef("grant_id"), thawed_at=None)
        Lot.objects.filter(grant_id__in=grant_ids, frozen=True).exclude(Exists(others)).update(frozen=False)


def lock_holders(grant_ids: Collection[uuid.UUID], also: Collection[uuid.UUID] = ()) -> None:
    """Lock every account that has a lot of these grants, spent or not, and `also` these. Needs a transaction."""
    lock_whatever(
        lambda: {*also, *Lot.objects.filter(grant_id__in=grant_ids).values_list("account_id", flat=True).distinct()}
    )
