"""Telling people, 7 days before, that what is left of a grant expires."""

from __future__ import annotations

from datetime import datetime, timedelta

from django.db.models import Exists, F, OuterRef, Sum

from billing.enums import AlertRule
from billing.models import Alert, AlertSettings, Grant, Lot
from billing.services.alerts import raise_alert
from tenants.scope import platform_scope

WARN_BEFORE = timedelta(days=7)
# So many in one transaction: what is left comes with the next round.
AT_ONCE = 200


def warn_of_expiring_grants(*, now: datetime) -> int:
    """Raise an alert for each grant that expires within 7 days and has Tokens left, once in its life; return how many.

    A grant that lives shorter than that is told of when it is given; one of which nothing is left is not told of. For
    the scheduler, through the platform's door. Takes no lock; safe to repeat and to race.
    """
    with platform_scope("warn of expiring grants"):
        told = Alert.objects.filter(
            organization_id=OuterRef("organization_id"), rule=AlertRule.GRANT_EXPIRING, subject_id=OuterRef("grant_id")
        )
        unwanted = AlertSettings.objects.filter(
            organization_id=OuterRef("organization_id"), rules_off__contains=[AlertRule.GRANT_EXPIRING]
        )
        ending = (
            Lot.objects.filter(spent=False, frozen=False, expires_at__gt=now, expires_at__lte=now + WARN_BEFORE)
            .exclude(Exists(told) | Exists(unwanted))
            .values("organization_id", "grant_id")
            .annotate(left=Sum(F("posted_mtok")))
            .order_by("organization_id", "grant_id")[:AT_ONCE]
        )
        left = {row["grant_id"]: row["left"] for row in ending}
        grants = Grant.objects.filter(id__in=left).order_by("id")
        return sum(
            raise_alert(
                organization_id=grant.organization_id,
                rule=AlertRule.GRANT_EXPIRING,
                subject_kind="grant",
                subject_id=grant.id,
                level=None,
                period="",
                facts={"remaining_mtok": int(left[grant.id]), "expires_at": grant.expires_at},
                now=now,
            )
            for grant in grants
        )
