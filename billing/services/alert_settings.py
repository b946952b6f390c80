"""What an organization wants to be told of. Every function needs the organization's scope."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from datetime import datetime

from django.db import connection, transaction

from billing.enums import AlertRule
from billing.errors import AlertSettingsInvalid
from billing.models import AlertSettings
from tenants.actors import Actor
from tenants.services import audit

MOST_LEVELS = 10
LARGEST_RUN = 1000
LARGEST_SCORE = 100.0


def settings_of(organization_id: uuid.UUID) -> AlertSettings:
    """Return an organization's settings; the defaults, not saved, when it has chosen none."""
    return AlertSettings.objects.filter(organization_id=organization_id).first() or AlertSettings(
        organization_id=organization_id
    )


def change_settings(
    *,
    organization_id: uuid.UUID,
    levels: Sequence[int] | None = None,
    error_run: int | None = None,
    burn_score: float | None = None,
    rules_off: Sequence[str] | None = None,
    actor: Actor,
    now: datetime,
) -> AlertSettings:
    """Change what was given, and leave the rest.

    `levels` are 1 to 10 whole percents from 1 to 100. New levels are watched for from now on: one that a period has
    passed already is told of with the next Token spent. Locks all accounts of the organization when levels change.
    Raises AlertSettingsInvalid.
    """
    with transaction.atomic():
        AlertSettings.objects.bulk_create(
            [AlertSettings(organization_id=organization_id, created_at=now)], ignore_conflicts=True
        )
        found = AlertSettings.objects.select_for_update().get(organization_id=organization_id)
        before = _facts(found)
        if levels is not None:
            found.levels = sorted(set(levels))
        if error_run is not None:
            found.error_run = error_run
        if burn_score is not None:
            found.burn_score = burn_score
        if rules_off is not None:
            found.rules_off = sorted(set(rules_off))
        _check(found)
        after = _facts(found)
        if after == before:
            return found
        found.save(update_fields=["levels", "error_run", "burn_score", "rules_off"])
        if after["levels"] != before["levels"]:
            with connection.cursor() as cursor:
                cursor.execute("SELECT billing_watch_anew(%s)", [organization_id])
        audit.record(
            organization_id=organization_id,
            actor=actor,
            action="alert_settings.changed",
            target_kind="organization",
            target_id=organization_id,
            before=before,
            after=after,
            now=now,
        )
    return found


def _check(found: AlertSettings) -> None:
    if not 1 <= len(found.levels) <= MOST_LEVELS or not all(1 <= level <= 100 for level in found.levels):
        raise AlertSettingsInvalid("levels", f"Give 1 to {MOST_LEVELS} whole percents from 1 to 100.")
    if not 1 <= found.error_run <= LARGEST_RUN:
        raise AlertSettingsInvalid("error_run", f"Give a whole number from 1 to {LARGEST_RUN}.")
    if not 0 < found.burn_score <= LARGEST_SCORE:
        raise AlertSettingsInvalid("burn_score", f"Give a number above 0, at most {LARGEST_SCORE:g}.")
    if not set(found.rules_off) <= set(AlertRule.values):
        raise AlertSettingsInvalid("rules_off", "There is no such rule.")


def _facts(found: AlertSettings) -> dict[str, object]:
    return {
        "levels": found.levels,
        "error_run": found.error_run,
        "burn_score": found.burn_score,
        "rules_off": found.rules_off,
    }
