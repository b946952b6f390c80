"""A run of failed calls is told of once, and again only after a success."""

from __future__ import annotations

import pytest
from django.utils import timezone

from billing.enums import AlertRule
from billing.models import AlertSettings, SubToken
from detection.enums import JobError, JobStatus
from detection.models import HourlyUsage, Job, ModelVersion
from detection.services.error_runs import notice_error_runs
from tenants.scope import platform_scope
from tests.factories.alerts import alerts_of
from tests.factories.jobs import make_spender, queue_job

pytestmark = pytest.mark.django_db


def finish(sub_token: SubToken, version: ModelVersion, *statuses: str) -> None:
    """Finish one call for each status, as settling leaves it."""
    now = timezone.now()
    for status in statuses:
        job = queue_job(sub_token, version)
        with platform_scope("test"):
            error = JobError.INFERENCE_FAILED if status == JobStatus.FAILED else ""
            Job.objects.filter(id=job.id).update(status=status, finished_at=now, error_code=error)
            if status == JobStatus.FAILED:
                HourlyUsage.objects.get_or_create(
                    organization_id=sub_token.organization_id,
                    sub_token_id=sub_token.id,
                    model_version=version,
                    hour=now.replace(minute=0, second=0, microsecond=0),
                    defaults={"calls": 1, "failed": 1},
                )


def test_once_per_run(version: ModelVersion) -> None:
    sub_token = make_spender()
    bad, good = JobStatus.FAILED, JobStatus.SUCCEEDED
    finish(sub_token, version, *[bad] * 9)
    assert notice_error_runs(now=timezone.now()) == 0
    finish(sub_token, version, JobStatus.CANCELLED, bad)
    assert [notice_error_runs(now=timezone.now()) for _ in range(3)] == [1, 0, 0]
    finish(sub_token, version, bad, bad)
    assert notice_error_runs(now=timezone.now()) == 0
    finish(sub_token, version, good, *[bad] * 10)
    assert notice_error_runs(now=timezone.now()) == 1
    with platform_scope("look"):
        organization = SubToken.objects.select_related("organization").get(id=sub_token.id).organization
    assert alerts_of(organization) == [(AlertRule.ERRORS_IN_A_ROW, None, True)] * 2


def test_as_many_as_the_organization_says(version: ModelVersion) -> None:
    sub_token = make_spender()
    with platform_scope("test"):
        AlertSettings.objects.create(organization_id=sub_token.organization_id, error_run=2)
    finish(sub_token, version, JobStatus.FAILED, JobStatus.FAILED)
    assert notice_error_runs(now=timezone.now()) == 1
