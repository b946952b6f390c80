"""The daily mail of those who want one instead of many. Through the platform's door."""

from __future__ import annotations

import uuid
from datetime import datetime
from zoneinfo import ZoneInfo

from django.db import transaction

from billing.models import Alert, AlertNotice, AlertPreferences
from billing.services.alerts import told_alert
from tenants.languages import language_of
from tenants.models import Membership, Organization
from tenants.scope import platform_scope
from tenants.services.outbox import queue_mail

LONGEST_DIGEST = 100


def send_digests(*, now: datetime) -> int:
    """Queue the digests whose hour has come in their reader's time zone, each once a day; return how many there were.

    A reader who has no alerts that wait gets none. One who turned the digest off meanwhile gets what still waits.
    """
    with platform_scope("look whose digest is due"):
        waiting = set(AlertNotice.objects.filter(for_digest=True).values_list("organization_id", "user_id"))
        found = AlertPreferences.objects.filter(organization_id__in={organization for organization, _ in waiting})
        due = [
            preferences.id
            for preferences in found
            if (preferences.organization_id, preferences.user_id) in waiting and _is_due(preferences, now)
        ]
    return sum(_send(preferences_id, now) for preferences_id in due)


def _is_due(preferences: AlertPreferences, now: datetime) -> bool:
    local = now.astimezone(ZoneInfo(preferences.time_zone))
    if not preferences.daily_digest:
        return True
    return local.time() >= preferences.digest_at and preferences.digest_sent_on != local.date()


def _send(preferences_id: uuid.UUID, now: datetime) -> bool:
    with platform_scope("send a digest"), transaction.atomic():
        locked = AlertPreferences.objects.select_for_update(of=("self",)).select_related("user")
        preferences = locked.get(id=preferences_id)
        if not _is_due(preferences, now):
            return False
        user, organization = preferences.user, Organization.objects.get(id=preferences.organization_id)
        notices = AlertNotice.objects.filter(organization_id=organization.id, user=user, for_digest=True)
        ids = list(notices.select_for_update().values_list("id", flat=True))
        alerts = Alert.objects.filter(notices__in=ids).order_by("-id")[:LONGEST_DIGEST]
        today = now.astimezone(ZoneInfo(preferences.time_zone)).date()
        member = Membership.objects.filter(organization_id=organization.id, user=user, user__is_active=True).exists()
        told = [told_alert(alert, organization) for alert in alerts]
        if member and told:
            queue_mail(
                organization_id=organization.id,
                to=user.email,
                kind="alert_digest",
                context={"organization": organization.name, "slug": organization.slug, "alerts": told},
                dedupe_key=f"digest:{user.id}:{ids[0]}",
                language=language_of(user),
                now=now,
            )
        AlertNotice.objects.filter(id__in=ids).update(for_digest=False)
        preferences.digest_sent_on = today
        preferences.save(update_fields=["digest_sent_on"])
    return bool(member and told)
