"""Slow dashboards, as users of such systems report them (litellm#20414, PR#9603; commonly PR#468; new-api#7425).

Their pages add up the log, so that they slow down with every call; and the log has indexes without an end. Ours read
sums whose number the calls do not change, and the log goes week by week. `benchmarks.dashboard` has the times.
"""

from __future__ import annotations

import re
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from billing.queries.credentials import forget_credentials
from billing.queries.ledger import transfer_page
from billing.queries.price_books import forget_prices
from detection.models import ModelVersion
from detection.queries import catalogue
from tenants.scope import organization_scope
from tests.concurrency.racing import connect
from tests.detection.conftest import version  # noqa: F401 a fixture
from tests.detection.test_usage import run
from tests.factories.jobs import make_spender
from tests.factories.tenants import make_membership

pytestmark = pytest.mark.django_db
PAGES = ("", "usage/", "usage/?by=sub_token", "usage/?by=model", "usage/?by=tag", "balance/", "forecast/")


def tables_read(client: Client, path: str) -> tuple[int, set[str]]:
    # Whether this process still remembers them is a matter of seconds.
    for forget in (catalogue.forget, forget_credentials, forget_prices):
        forget()
    with CaptureQueriesContext(connection) as queries:
        assert client.get(path).status_code == 200
    summing = {
        table
        for query in queries.captured_queries
        for table in ("detection_job", "billing_hold", "billing_entry")
        if table in query["sql"] and any(word in query["sql"].lower() for word in ("sum(", "count(", "group by"))
    }
    return len(queries), summing


@pytest.mark.parametrize("page", PAGES)
def test_a_page_sums_no_log_and_asks_no_more_when_there_is_more(
    page: str,
    version: ModelVersion,  # noqa: F811
    client: Client,
) -> None:
    """litellm PR#9603: daily rollups instead of the log. new-api#7425: ten seconds for a page."""
    sub_token = make_spender()
    client.force_login(make_membership(sub_token.organization).user)
    path = f"/o/{sub_token.organization.slug}/{page}"
    run(sub_token, version, timezone.now(), tags={"line": "1"})
    client.get(path)
    few, summed = tables_read(client, path)
    assert summed == set()
    for number in range(12):
        run(sub_token, version, timezone.now(), tags={"line": str(number % 3)})
    many, _ = tables_read(client, path)
    assert many == few


def test_the_log_is_dropped_by_the_week_and_its_indexes_with_it() -> None:
    """commonly PR#468: millions of rows of index, because nothing was ever dropped."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT relkind::text FROM pg_class WHERE oid = 'detection_job'::regclass")
        assert cursor.fetchone() == ("p",)


def plan_of(sql: str, parameters: Any) -> str:
    with connection.cursor() as cursor:
        for choice in ("seqscan", "bitmapscan", "sort"):
            cursor.execute(f"SET LOCAL enable_{choice} = off")
        cursor.execute(f"EXPLAIN {sql}", parameters)
        return "\n".join(line for (line,) in cursor.fetchall())


def test_the_list_of_calls_is_read_from_its_end() -> None:
    """litellm#20414: a limit on the page that still reads a million rows."""
    organization_id = make_spender().organization_id
    with organization_scope(organization_id):
        plan = plan_of(
            "SELECT id FROM detection_job WHERE org_id = %s ORDER BY id DESC LIMIT 51", [str(organization_id)]
        )
    assert not re.search(r"Sort +\(cost", plan)
    assert plan.count("Scan") == plan.count("Index Scan Backward") + plan.count("Index Only Scan Backward")


@pytest.mark.usefixtures("committed_db")
def test_the_transfers_of_an_account_are_read_from_its_own_entries() -> None:
    """new-api#7425: a filter on the log that reads all of it to find the few that fit."""
    sub_token = make_spender()
    for _ in range(30):
        make_spender(beside=sub_token)
    with connect(owner=True) as owner:
        owner.execute("ANALYZE billing_entry")  # of a table that it takes for empty, any index is as good
    with organization_scope(sub_token.organization_id), CaptureQueriesContext(connection) as queries:
        assert len(transfer_page(sub_token.organization_id, account_id=sub_token.account_id, limit=26)) == 1
        sql = queries.captured_queries[0]["sql"].replace("%", "%%")
        plan = plan_of(sql, None)
    assert "entry_by_account_and_transfer" in plan
    assert not re.search(r"Sort +\(cost", plan)
