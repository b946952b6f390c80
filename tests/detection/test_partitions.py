"""Calls are kept by the week, for ninety days; making and dropping weeks holds nobody up for long."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta

import pytest
from django.conf import settings
from django.db import DatabaseError, connection, connections, transaction
from django.utils import timezone

from billing.models import Entry, SubToken
from detection.models import DailyUsage, HourlyUsage, IdempotentCall, Job, ModelVersion
from detection.services.retention import forget_old_calls, make_room
from tenants.identifiers import first_id_at, new_id
from tenants.scope import organization_scope, platform_scope
from tests.committed import _owner
from tests.detection.machine import PATIENCE_SECONDS
from tests.detection.test_usage import run
from tests.factories.jobs import make_spender, queue_job

pytestmark = pytest.mark.django_db


@pytest.fixture
def sub_token(db: None) -> SubToken:
    return make_spender()


def partitions() -> dict[str, tuple[str, str]]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT partition::text, first_id::text, end_id::text FROM detection_partitions()")
        return {name: (first, end) for name, first, end in cursor.fetchall()}


def partition_of(job_id: object) -> str:
    with platform_scope("look"), connection.cursor() as cursor:
        cursor.execute("SELECT tableoid::regclass::text FROM detection_job WHERE id = %s", [job_id])
        return cursor.fetchone()[0]


def test_an_id_says_when_it_was_made() -> None:
    before = timezone.now() - timedelta(milliseconds=2)
    made = new_id()
    assert first_id_at(before) <= made < first_id_at(timezone.now() + timedelta(milliseconds=2))
    with connection.cursor() as cursor:
        cursor.execute("SELECT tokensight_first_id(%s)", [before])
        assert cursor.fetchone() == (first_id_at(before),)


def test_there_is_room_for_this_week_and_four_more(sub_token: SubToken, version: ModelVersion) -> None:
    assert len(partitions()) >= 5, "the migration made it"
    now = timezone.now()
    assert make_room(now=now) <= 1, "none, unless a week has begun since the migration"
    assert make_room(now=now) == 0
    assert make_room(now=now + timedelta(days=7)) == 1
    job = queue_job(sub_token, version)
    day = datetime.fromtimestamp((job.id.int >> 80) / 1000, UTC).date()
    monday = day - timedelta(days=day.weekday())
    assert partition_of(job.id) == f"calls.job_{monday:%Y%m%d}"


def test_a_call_of_no_week_is_taken_all_the_same(sub_token: SubToken, version: ModelVersion) -> None:
    job = queue_job(sub_token, version)
    far = first_id_at(timezone.now() + timedelta(days=900))
    with platform_scope("move"):
        Job.objects.filter(id=job.id).update(id=far)
    assert partition_of(far) == "calls.job_rest"


def test_weeks_go_when_all_of_them_is_old_enough_and_the_ledger_stays(
    sub_token: SubToken, version: ModelVersion
) -> None:
    now = timezone.now()
    run(sub_token, version, now, price_mtok=700)
    with organization_scope(sub_token.organization_id):
        IdempotentCall.objects.create(
            organization=sub_token.organization, sub_token=sub_token, key="k", job_id=new_id()
        )
    with (
        connection.cursor() as cursor
    ):  # this test's own transaction is not over, and drops nothing that it still checks
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
    kept = timedelta(days=settings.CALLS_KEPT_DAYS)
    assert forget_old_calls(now=now + kept - timedelta(days=1)) is None
    dropped = {forget_old_calls(now=now + kept + timedelta(days=8)) for _ in range(3)}
    assert any(name and name.startswith("calls.job_") for name in dropped)
    with platform_scope("look"):
        assert not Job.objects.exists()
        assert not HourlyUsage.objects.exists()
        assert not IdempotentCall.objects.exists()
        assert DailyUsage.objects.get().charged_mtok == 700
        assert Entry.objects.filter(transfer__kind="capture").count() == 2


def test_the_restricted_role_has_no_way_into_a_partition() -> None:
    name = next(iter(partitions()))
    with connection.cursor() as cursor:
        cursor.execute("SELECT has_schema_privilege('calls', 'USAGE')")
        assert cursor.fetchone() == (False,)
        cursor.execute(
            "SELECT has_function_privilege('detection_make_partitions(timestamptz, int)', 'EXECUTE'),"
            " has_function_privilege('detection_drop_partition(timestamptz)', 'EXECUTE')"
        )
        assert cursor.fetchone() == (False, False)
    for verb in (f"SELECT FROM {name}", f"DELETE FROM {name}"):
        with pytest.raises(DatabaseError, match="permission denied"), transaction.atomic():
            connection.cursor().execute(verb)


def test_a_question_about_one_call_opens_one_partition() -> None:
    with connection.cursor() as cursor:
        cursor.execute("EXPLAIN SELECT status FROM detection_job WHERE id = %s", [new_id()])
        plan = "\n".join(line for (line,) in cursor.fetchall())
    assert "Append" not in plan


@pytest.mark.concurrency
def test_while_somebody_reads_for_long_the_weeks_wait_and_calls_go_on(committed_db: None) -> None:
    """A reader of the calls holds a lock that the upkeep needs; calls that come meanwhile wait a moment at most."""
    sub_token = make_spender()
    stop, called = threading.Event(), threading.Semaphore(0)

    def call() -> None:
        try:
            while not stop.is_set():
                with organization_scope(sub_token.organization_id):
                    list(Job.objects.order_by("-id")[:1])
                called.release()
        finally:
            connections.close_all()

    later = timezone.now() + timedelta(days=settings.CALLS_KEPT_DAYS + 30)
    # It reads until the end of the block: what waited for it would wait for ever.
    with _owner() as reader, reader.transaction():
        reader.execute("SELECT count(*) FROM detection_job")
        caller = threading.Thread(target=call, daemon=True)
        caller.start()
        assert called.acquire(timeout=PATIENCE_SECONDS)
        assert forget_old_calls(now=later) is None, "the reader has it"
        # Whatever was called before the upkeep gave up has come through, and so do those that come now.
        while called.acquire(blocking=False):
            pass
        assert all(called.acquire(timeout=PATIENCE_SECONDS) for _ in range(2))
        stop.set()
        caller.join(PATIENCE_SECONDS)
        assert not caller.is_alive()
    before = len(partitions())
    with _owner() as owner, owner.transaction(force_rollback=True):
        owner.execute("SELECT detection_drop_partition(%s)", [later])
        assert owner.execute("SELECT count(*) FROM detection_partitions()").fetchone() == (before - 1,)
