"""What the database promises about jobs, whoever calls it."""

import re

import pytest
from django.db import connection

from tenants.identifiers import new_id

pytestmark = pytest.mark.django_db


def test_a_claim_reads_the_queue_in_index_order() -> None:
    with connection.cursor() as cursor:
        # As detection_claim has it: the planner would rather sort while the tables are small.
        for choice in ("seqscan", "bitmapscan", "sort"):
            cursor.execute(f"SET LOCAL enable_{choice} = off")
        cursor.execute("SET LOCAL ROLE tokensight_platform")
        cursor.execute(
            "EXPLAIN SELECT id FROM detection_job WHERE status = 'queued' AND model_version_id = %s"
            " AND img_size = 640 ORDER BY priority_class, virtual_finish, id LIMIT 8 FOR UPDATE SKIP LOCKED",
            [new_id()],
        )
        plan = "\n".join(line for (line,) in cursor.fetchall())
    assert "Merge Append" in plan, "the weeks' queues are merged in their order"
    assert not re.search(r"Sort +\(cost", plan), "nothing is sorted"
    assert plan.count("Scan") == plan.count("Index Scan using job_")


def test_the_catalogue_is_read_only_for_the_runtime_role() -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT has_table_privilege(t, 'INSERT'), has_table_privilege(t, 'UPDATE'),"
            " has_table_privilege(t, 'DELETE'), has_table_privilege(t, 'SELECT') FROM unnest(%s::text[]) AS t",
            [["detection_model", "detection_modelversion", "detection_virtualtime"]],
        )
        assert set(cursor.fetchall()) == {(False, False, False, True)}
