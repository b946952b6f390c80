"""Noticing that a sub-token's calls fail one after the other. Through the platform's door."""

from __future__ import annotations

import uuid
from datetime import datetime, timedelta

from billing.enums import AlertRule
from billing.models import AlertSettings
from billing.models.alerts import ERROR_RUN
from billing.services.alerts import raise_alert
from detection.enums import JobStatus
from detection.models import HourlyUsage, Job
from tenants.scope import platform_scope


def notice_error_runs(*, now: datetime) -> int:
    """Raise `errors_in_a_row` for sub-tokens whose last calls have all failed; return how many alerts were new.

    As many calls as the organization says (10 unless it says otherwise), calls that are not finished left aside. Once
    per run: the period is the last call that succeeded before it, so the next run is told of after a success only.
    Sub-tokens of which calls failed in this hour or the one before are looked at.
    """
    since = now.replace(minute=0, second=0, microsecond=0) - timedelta(hours=1)
    with platform_scope("look for runs of errors"):
        failing = set(
            HourlyUsage.objects.filter(hour__gte=since, failed__gt=0).values_list("organization_id", "sub_token_id")
        )
    return sum(_look_at(organization_id, sub_token_id, now) for organization_id, sub_token_id in sorted(failing))


def _look_at(organization_id: uuid.UUID, sub_token_id: uuid.UUID, now: datetime) -> bool:
    with platform_scope("look for a run of errors"):
        chosen = AlertSettings.objects.filter(organization_id=organization_id).first()
        needed = chosen.error_run if chosen else ERROR_RUN
        finished = Job.objects.filter(
            organization_id=organization_id,
            sub_token_id=sub_token_id,
            status__in=[JobStatus.SUCCEEDED, JobStatus.FAILED],
        ).order_by("-id")
        last = list(finished.values_list("status", flat=True)[:needed])
        if len(last) < needed or JobStatus.SUCCEEDED in last:
            return False
        good = finished.filter(status=JobStatus.SUCCEEDED).values_list("id", flat=True).first()
        return raise_alert(
            organization_id=organization_id,
            rule=AlertRule.ERRORS_IN_A_ROW,
            subject_kind="sub_token",
            subject_id=sub_token_id,
            level=None,
            period=f"after:{good}" if good else "",
            facts={"failures": needed},
            now=now,
        )
