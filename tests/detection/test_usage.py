"""The sums of usage say what the calls and the ledger say, whatever way a call ends."""

from __future__ import annotations

import uuid
from datetime import UTC, date, datetime, timedelta
from io import StringIO
from typing import Any

import pytest
from django.core.management import call_command
from django.db import connection
from django.utils import timezone

from billing.models import SubToken
from detection.enums import JobStatus
from detection.models import (
    DailyUsage,
    HourlyUsage,
    ModelVersion,
    OrganizationDay,
    OrganizationHour,
    OrganizationTag,
    TagUsage,
    WeeklyUsage,
)
from detection.queries.usage import Narrowed, UsageRow, span, usage
from detection.queries.usage_check import disagreements
from detection.services import doorbell, jobs, queue, settlement
from detection.services.settlement import Outcome
from detection.services.weeks import sum_up_weeks
from tenants.models import Organization
from tenants.scope import organization_scope, platform_scope
from tests.detection.conftest import Caller
from tests.factories.jobs import make_spender, queue_job

pytestmark = pytest.mark.django_db

NOON = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)


@pytest.fixture(autouse=True)
def _no_rings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doorbell, "call", lambda *kind: None)


@pytest.fixture
def sub_token(db: None) -> SubToken:
    return make_spender()


def run(sub_token: SubToken, version: ModelVersion, at: datetime, *, fail: bool = False, **fields: Any) -> None:
    """Let a call go all its way through the queue and end at a given time."""
    job = queue_job(sub_token, version, now=at, **fields)
    queue.claim(version_id=version.id, img_size=640, limit=8, worker="w", lease=timedelta(seconds=6), now=at)
    outcome = Outcome(job.id, 1, error_code="inference_failed") if fail else Outcome(job.id, 1, [], 64, 48, 1.0)
    settlement.settle(outcomes=[outcome], worker="w", now=at)


def summed(sub_token: SubToken, since: datetime, until: datetime, *group_by: str, **only: Any) -> list[UsageRow]:
    with organization_scope(sub_token.organization_id):
        return usage(
            sub_token.organization_id,
            within=span(since, until, now=until, whole_days=any(name.startswith("tag") for name in group_by)),
            group_by=group_by,
            only=Narrowed(**only),
        )


def total(sub_token: SubToken) -> tuple[int, ...]:
    (row,) = summed(sub_token, timezone.now() - timedelta(days=2), timezone.now())
    return row.calls, row.succeeded, row.failed, row.cached, row.charged_mtok


def test_a_call_counts_once_when_it_is_over_however_it_ends(sub_token: SubToken, version: ModelVersion) -> None:
    now = timezone.now()
    waiting = queue_job(sub_token, version)
    assert total(sub_token) == (0, 0, 0, 0, 0)
    jobs.withdraw(sub_token.organization_id, waiting.id, status=JobStatus.CANCELLED)
    assert total(sub_token) == (1, 0, 0, 0, 0)
    assert not jobs.withdraw(sub_token.organization_id, waiting.id, status=JobStatus.CANCELLED)
    run(sub_token, version, now, price_mtok=700)
    run(sub_token, version, now, fail=True)
    queue_job(sub_token, version, now=now - timedelta(hours=1))
    queue.fail_overdue(now=now)
    assert total(sub_token) == (4, 1, 2, 0, 700)
    settlement.settle(outcomes=[], worker="w", now=now)
    assert total(sub_token) == (4, 1, 2, 0, 700)


def test_a_batch_is_one_row_of_each_sum(sub_token: SubToken, version: ModelVersion) -> None:
    batch = [queue_job(sub_token, version, now=NOON, price_mtok=10 + number) for number in range(5)]
    queue.claim(version_id=version.id, img_size=640, limit=8, worker="w", lease=timedelta(seconds=6), now=NOON)
    settlement.settle(outcomes=[Outcome(job.id, 1, [], 64, 48, 1.0) for job in batch], worker="w", now=NOON)
    with platform_scope("look"):
        (hour,), (day,) = HourlyUsage.objects.all(), DailyUsage.objects.all()
        assert not TagUsage.objects.exists()
    assert (hour.hour, hour.calls, hour.charged_mtok) == (NOON, 5, 60)
    assert (day.day, day.calls, day.charged_mtok) == (NOON.date(), 5, 60)


def test_an_organization_s_sums_hold_all_of_its_sub_tokens(sub_token: SubToken, version: ModelVersion) -> None:
    other = make_spender(beside=sub_token)
    stranger = make_spender()
    batch = [
        queue_job(spender, version, now=NOON, price_mtok=10 + number, tags={"shift": str(number % 2)})
        for number, spender in enumerate([sub_token, other, stranger, other, sub_token])
    ]
    queue.claim(version_id=version.id, img_size=640, limit=8, worker="w", lease=timedelta(seconds=6), now=NOON)
    settlement.settle(outcomes=[Outcome(job.id, 1, [], 64, 48, 1.0) for job in batch], worker="w", now=NOON)
    with organization_scope(sub_token.organization_id):
        assert [(row.hour, row.calls, row.charged_mtok) for row in OrganizationHour.objects.all()] == [(NOON, 4, 48)]
        assert [(row.day, row.calls) for row in OrganizationDay.objects.all()] == [(NOON.date(), 4)]
        tags = OrganizationTag.objects.order_by("name", "value").values_list("name", "value", "calls", "charged_mtok")
        assert list(tags) == [("", "", 4, 48), ("shift", "0", 2, 24), ("shift", "1", 2, 24)]
    with organization_scope(stranger.organization_id):
        assert OrganizationDay.objects.get().charged_mtok == 12


def test_a_cached_answer_counts_and_costs_nothing(caller: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("detection.services.cache.find", lambda document: [])
    assert caller.send().status_code == 200
    assert total(caller.sub_token) == (1, 1, 0, 1, 0)


def test_usage_by_every_dimension(sub_token: SubToken, version: ModelVersion) -> None:
    run(sub_token, version, NOON, price_mtok=100, tags={"line": "1", "shift": "a"})
    run(sub_token, version, NOON + timedelta(hours=13), price_mtok=20, tags={"line": "2"})
    run(sub_token, version, NOON - timedelta(days=30), price_mtok=3)
    since, until = NOON - timedelta(days=40), NOON + timedelta(days=1)

    def by(*names: str, **only: Any) -> list[tuple[Any, ...]]:
        return [
            (*row.group.values(), row.calls, row.charged_mtok)
            for row in summed(sub_token, since, until, *names, **only)
        ]

    own = {"id": str(sub_token.id), "name": sub_token.name}
    assert by() == [(3, 123)]
    assert by("sub_token") == [(own, 3, 123)]
    assert by("team") == [(None, 3, 123)]
    assert by("model", "task") == [("blank-n", "detect", 3, 123)]
    assert by("month") == [(NOON.date().replace(month=10, day=1), 1, 3), (NOON.date().replace(day=1), 2, 120)]
    assert [row[1:] for row in by("day")] == [(1, 3), (1, 100), (1, 20)]
    assert [row[0].hour for row in by("hour")] == [12, 12, 1]
    assert by("tag") == [("line=1", 1, 100), ("line=2", 1, 20), ("shift=a", 1, 100), (None, 1, 3)]
    assert by("tag:line") == [("1", 1, 100), ("2", 1, 20), (None, 1, 3)]
    assert by("tag:nothing") == [(None, 3, 123)]
    assert by("tag:shift", "month")[-1] == (None, NOON.date().replace(day=1), 1, 20)
    assert by(model="blank-n") == [(3, 123)]
    assert by(model="other") == by(sub_token_id=uuid.uuid4()) == by(team_id=uuid.uuid4()) == [(0, 0)]
    with pytest.raises(ValueError):
        by("hour", "tag")


def test_weeks_that_are_over_are_summed_up_once_and_read_instead_of_their_days(
    sub_token: SubToken, version: ModelVersion
) -> None:
    other = make_spender(beside=sub_token)
    for days in range(40):
        run(sub_token if days % 3 else other, version, NOON - timedelta(days=days), price_mtok=1 + days)
    spans = [(NOON - timedelta(days=back), NOON - timedelta(days=end)) for back in (39, 30, 20, 8) for end in (0, 3, 7)]

    def told() -> list[list[UsageRow]]:
        return [
            summed(sub_token, since, until, *by, **only)
            for since, until in spans
            for by in (("sub_token",), ("team", "model"), ("sub_token", "month"), ("sub_token", "day"))
            for only in ({}, {"sub_token_id": other.id})
        ]

    before = told()
    # A week from Monday is over on the next one, and is settled a day later.
    sum_up_weeks(now=datetime(2026, 11, 16, 23, 59, tzinfo=UTC))
    with organization_scope(sub_token.organization_id):
        assert WeeklyUsage.objects.latest("week").week == date(2026, 11, 2)
    assert sum_up_weeks(now=datetime(2026, 11, 17, 0, 1, tzinfo=UTC)) == 2
    assert sum_up_weeks(now=datetime(2026, 11, 17, 0, 1, tzinfo=UTC)) == 0
    with organization_scope(sub_token.organization_id):
        assert WeeklyUsage.objects.latest("week").week == date(2026, 11, 9)
        assert disagreements(sub_token.organization_id, since=date(2026, 10, 1)) == []
    assert told() == before
    with platform_scope("show that they are read"):
        DailyUsage.objects.filter(day__lt=date(2026, 11, 16)).update(charged_mtok=0)
    (row,) = summed(sub_token, datetime(2026, 11, 2, tzinfo=UTC), NOON, "team")
    assert row.charged_mtok == sum(1 + days for days in range(1, 19))


def test_a_span_of_hours_is_summed_exactly(sub_token: SubToken, version: ModelVersion) -> None:
    for hours in range(0, 72, 3):
        run(sub_token, version, NOON - timedelta(hours=hours, minutes=30), price_mtok=1)
    for start, end, calls in ((2, 0, 1), (4, 2, 1), (30, 7, 7), (72, 0, 24), (49, 48, 1)):
        since, until = NOON - timedelta(hours=start), NOON - timedelta(hours=end)
        (row,) = summed(sub_token, since, until)
        assert row.calls == calls, (start, end)
        assert sum(row.calls for row in summed(sub_token, since, until, "hour")) == calls


def test_tags_that_never_repeat_do_not_grow_the_sums_without_end(sub_token: SubToken, version: ModelVersion) -> None:
    with platform_scope("test data"):
        TagUsage.objects.bulk_create(
            TagUsage(
                organization_id=sub_token.organization_id,
                sub_token=sub_token,
                model_version=version,
                day=NOON.date(),
                name="frame",
                value=str(number),
                calls=1,
            )
            for number in range(1000)
        )
    run(sub_token, version, NOON, price_mtok=5, tags={"frame": "new"})
    run(sub_token, version, NOON, price_mtok=7, tags={"frame": "999"})
    with platform_scope("look"):
        found = {
            row.value: row.calls
            for row in TagUsage.objects.filter(name="frame", value__in=["new", "999", TagUsage.OTHER])
        }
    assert found == {TagUsage.OTHER: 1, "999": 2}


def test_the_sums_agree_with_the_ledger_and_a_wrong_one_shows(sub_token: SubToken, version: ModelVersion) -> None:
    run(sub_token, version, NOON, price_mtok=100, tags={"line": "1"})
    run(sub_token, version, NOON, price_mtok=50, fail=True)
    with organization_scope(sub_token.organization_id):
        assert disagreements(sub_token.organization_id, since=NOON.date()) == []
    for table in (
        "detection_hourlyusage", "detection_dailyusage", "detection_tagusage",
        "detection_organizationhour", "detection_organizationday", "detection_organizationtag",
    ):  # fmt: skip
        with platform_scope("spoil"), connection.cursor() as cursor:
            cursor.execute(f"UPDATE {table} SET charged_mtok = charged_mtok + 1")
            found = disagreements(sub_token.organization_id, since=NOON.date())
            cursor.execute(f"UPDATE {table} SET charged_mtok = charged_mtok - 1")
        assert found, table
        assert {abs(row["expected_mtok"] - row["actual_mtok"]) for row in found} == {1}


def test_the_command_says_whether_usage_agrees(sub_token: SubToken, version: ModelVersion) -> None:
    run(sub_token, version, timezone.now(), price_mtok=100)
    said = StringIO()
    call_command("usage_verify", stdout=said)
    assert "agrees with the ledger" in said.getvalue()
    with platform_scope("spoil"):
        DailyUsage.objects.update(charged_mtok=101)
    with pytest.raises(SystemExit):
        call_command("usage_verify", stdout=said)
    assert "should be 100 mtok and is 101 mtok" in said.getvalue()


def test_an_outsider_s_usage_is_nobody_else_s(
    sub_token: SubToken, version: ModelVersion, beta: Organization, outsider: Caller
) -> None:
    run(sub_token, version, timezone.now(), price_mtok=100)
    for query in ({}, {"sub_token": str(sub_token.id)}, {"group_by": "sub_token"}):
        report = outsider.get("/v1/usage", **query).json()
        assert report["total"]["calls"] == 0
        assert sum(row["calls"] for row in report["data"]) == 0
