"""What users report of how ledgers and logs lie on the disk, and of usage that only a buffer knows."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta

import psycopg
import pytest
from django.db import connection
from django.utils import timezone
from redis.exceptions import ConnectionError as RedisAway

from billing.models import Account, Transfer
from detection.models import DailyUsage, ModelVersion
from detection.services import doorbell, queue, results, settlement
from detection.services.settlement import Outcome
from tenants.identifiers import new_id
from tenants.models import Organization
from tenants.scope import platform_scope
from tests.concurrency.racing import connect, place
from tests.detection.conftest import version  # noqa: F401 a fixture
from tests.factories.billing import NOW, assert_ledger_clean, make_wallet
from tests.factories.jobs import make_spender, queue_job

pytestmark = pytest.mark.usefixtures("fresh_storage")
HOLDS = 300
# Half a megabyte.
MOST_PAGES = 64


def capture(worker: psycopg.Connection, holds: list[str]) -> int:
    """Capture holds of 1 mtok, and return how many pages the log had to take whole: those first touched since a
    checkpoint.
    """
    items = [{"hold_id": hold_id, "mtok": 1, "transfer_id": str(new_id())} for hold_id in holds]
    explained = worker.execute(
        "EXPLAIN (ANALYZE, WAL, FORMAT JSON) SELECT * FROM billing_capture_holds(%s, %s)", [json.dumps(items), NOW]
    ).fetchone()
    assert explained
    return int(explained[0][0]["Plan"]["WAL FPI"])


def bytes_on_disk(owner: psycopg.Connection) -> int:
    sql = "SELECT sum(pg_total_relation_size(oid)) FROM pg_class WHERE relkind = 'r' AND relname LIKE 'billing\\_%'"
    row = owner.execute(sql).fetchone()
    assert row
    return int(row[0])


@pytest.fixture
def nobody_tidies_up(committed_db: None) -> Iterator[None]:
    """While autovacuum looks at a table, nothing that it might see is cleared away: here it looks at none."""
    with connect(owner=True) as owner:
        tables = "SELECT oid::regclass::text FROM pg_class WHERE relkind = 'r' AND relname LIKE 'billing\\_%'"
        names = [name for (name,) in owner.execute(tables).fetchall()]
        for name in names:
            owner.execute(f"ALTER TABLE {name} SET (autovacuum_enabled = off)")
        yield
        for name in names:
            owner.execute(f"ALTER TABLE {name} RESET (autovacuum_enabled)")


def spend(wallet: Account, batch: int) -> tuple[int, int]:
    """Hold and capture HOLDS times, so many at once, with checkpoints in between.

    Return how much the tables grew, and how many pages at most a capture had the log take whole.
    """
    most = 0
    with connect() as web, connect(platform=True) as worker, connect(owner=True) as owner:
        before = bytes_on_disk(owner)
        for number in range(0, HOLDS, batch):
            holds = [place(web, wallet, 1)[1] for _ in range(batch)]
            if number % 60 == 0:
                owner.execute("CHECKPOINT")
            most = max(most, capture(worker, holds))
        return bytes_on_disk(owner) - before, most


@pytest.mark.concurrency
def test_tigerbeetle_2039_small_batches_bloat_nothing_and_stall_at_no_checkpoint(
    nobody_tidies_up: None, alpha: Organization
) -> None:
    """tigerbeetle#2039: small batches bloat the data file. #3915: they stall for a second at each checkpoint.

    What a checkpoint adds to the batch after it are the pages that the batch touches, written whole once.
    """
    wallet = make_wallet(alpha, 100_000)
    spend(wallet, 10)  # the first pages of every table and index
    together, _ = spend(wallet, 60)
    alone, most = spend(wallet, 1)
    assert alone < 1.3 * together
    assert 0 < most <= MOST_PAGES
    assert_ledger_clean()


def log_and_indexes(name: str) -> tuple[int, int, int]:
    """Return the bytes of a table's rows and of its indexes, over all its parts, and how many indexes a row is in."""
    sql = """
        SELECT sum(pg_table_size(relid)), sum(pg_indexes_size(relid)),
               max((SELECT count(*) FROM pg_index WHERE indrelid = relid))
        FROM (SELECT relid FROM pg_partition_tree(%s::regclass) UNION SELECT %s::regclass) parts
    """
    with connection.cursor() as cursor:
        cursor.execute(sql, [name, name])
        rows, indexes, count = cursor.fetchone()
    return int(rows), int(indexes), int(count)


@pytest.mark.django_db
def test_litellm_11683_the_logs_indexes_are_few_and_smaller_than_the_log(version: ModelVersion) -> None:  # noqa: F811
    """litellm PR#11683: indexes on the log overloaded the database and were taken back.

    Pages read sums, so the log of calls bears no index for each way of looking at it.
    """
    sub_token = make_spender(2_000 * 700)
    rows_before, indexes_before, count = log_and_indexes("detection_job")
    for _ in range(1_000):
        queue_job(sub_token, version, request_id="0" * 36, tags={"line": "7"})
    rows, indexes, _ = log_and_indexes("detection_job")
    assert indexes - indexes_before < 1.5 * (rows - rows_before)
    assert count <= 9


@pytest.mark.django_db
def test_litellm_19163_usage_needs_no_buffer_that_could_be_off(
    version: ModelVersion,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """litellm#19163: the buffer was off, and nobody was told. With Redis away every call is counted and charged."""

    def away(*_: object) -> None:
        raise RedisAway

    sub_token, now = make_spender(), timezone.now()
    jobs = [queue_job(sub_token, version, now=now) for _ in range(5)]
    monkeypatch.setattr(doorbell, "ring", away)
    monkeypatch.setattr(results, "publish", away)
    queue.claim(version_id=version.id, img_size=640, limit=8, worker="w", lease=timedelta(seconds=6), now=now)
    settled = settlement.settle(outcomes=[Outcome(job.id, 1, []) for job in jobs], worker="w", now=now)
    assert len(settled) == 5
    with platform_scope("test"):
        assert DailyUsage.objects.get().calls == Transfer.objects.filter(kind="capture").count() == 5
