"""Lost usage, as users of such systems report it (litellm#33872, #29292, #37144, #2814; openmeter#5118).

Their usage is buffered and written later, so that it is lost when something dies in between, or cut off when there is
much of it. Ours is counted by the statement that captures the Tokens.
"""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db import connection, transaction
from django.utils import timezone

from billing.models import Transfer
from detection.models import DailyUsage, ModelVersion
from detection.queries.usage import span, usage
from detection.queries.usage_check import disagreements
from detection.services import doorbell, queue, settlement
from detection.services.settlement import Outcome
from tenants.scope import organization_scope, platform_scope
from tests.detection.conftest import version  # noqa: F401 a fixture
from tests.factories.jobs import make_spender, queue_job

pytestmark = pytest.mark.django_db
MANY = 150


@pytest.fixture(autouse=True)
def _no_rings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doorbell, "ring", lambda *kind: None)


def test_a_capture_that_is_rolled_back_leaves_no_usage_and_one_that_stands_leaves_its_own(
    version: ModelVersion,  # noqa: F811
) -> None:
    """litellm#33872: the buffer was emptied before the database had committed. openmeter#5118: a retry meters zero."""
    sub_token, now = make_spender(), timezone.now()
    job = queue_job(sub_token, version, now=now)
    queue.claim(version_id=version.id, img_size=640, limit=8, worker="w", lease=timedelta(seconds=6), now=now)
    outcomes = [Outcome(job.id, 1, [])]
    with transaction.atomic():
        settlement.settle(outcomes=outcomes, worker="w", now=now)
        transaction.set_rollback(True)
    with platform_scope("look"):
        assert not DailyUsage.objects.exists()
        assert not Transfer.objects.filter(kind="capture").exists()
    settlement.settle(outcomes=outcomes, worker="w", now=now)
    settlement.settle(outcomes=outcomes, worker="w", now=now)
    with platform_scope("look"):
        assert DailyUsage.objects.get().calls == Transfer.objects.filter(kind="capture").count() == 1


def test_a_batch_of_any_size_is_counted_whole(version: ModelVersion) -> None:  # noqa: F811
    """litellm#29292: only the first hundred of each flush were kept. #2814: totals should reconcile, and be seen to."""
    sub_token, now = make_spender(MANY * 700), timezone.now()
    jobs = [queue_job(sub_token, version, now=now, tags={"line": str(n % 7)}) for n in range(MANY)]
    queue.claim(version_id=version.id, img_size=640, limit=MANY, worker="w", lease=timedelta(seconds=6), now=now)
    settlement.settle(outcomes=[Outcome(job.id, 1, []) for job in jobs], worker="w", now=now)
    with organization_scope(sub_token.organization_id):
        within = span(now, now, now=now, whole_days=True)
        (row,) = usage(sub_token.organization_id, within=within)
        by_line = usage(sub_token.organization_id, within=within, group_by=["tag:line"])
        assert (row.calls, row.charged_mtok) == (MANY, MANY * 700)
        assert sum(line.charged_mtok for line in by_line) == MANY * 700
        assert disagreements(sub_token.organization_id, since=now.date()) == []


def test_usage_that_was_lost_would_show(version: ModelVersion) -> None:  # noqa: F811
    """litellm#37144: spend said 0 while the logs said otherwise, and nothing compared them. The negative control."""
    sub_token, now = make_spender(), timezone.now()
    job = queue_job(sub_token, version, now=now)
    queue.claim(version_id=version.id, img_size=640, limit=8, worker="w", lease=timedelta(seconds=6), now=now)
    settlement.settle(outcomes=[Outcome(job.id, 1, [])], worker="w", now=now)
    with platform_scope("lose it"), connection.cursor() as cursor:
        cursor.execute("DELETE FROM detection_dailyusage")
    with organization_scope(sub_token.organization_id):
        lost = disagreements(sub_token.organization_id, since=now.date())
    assert ("usage of the day = its captures", 700, 0) in {
        (line["check"], line["expected_mtok"], line["actual_mtok"]) for line in lost
    }
