"""Calls in weekly partitions (docs/adr/0008), and the functions of the hot path told which of them to open."""

from pathlib import Path

from django.conf import settings
from django.db import migrations

from tenants.migration_operations import TenantTable

SQL = Path(__file__).parent / "sql"
KEYS = """
INSERT INTO detection_idempotentcall (id, org_id, created_at, sub_token_id, key, job_id)
SELECT id, org_id, created_at, sub_token_id, idempotency_key, id FROM detection_job WHERE idempotency_key IS NOT NULL
"""


def from_file(name: str) -> migrations.RunSQL:
    text = (SQL / f"{name}.sql").read_text()
    roles = {"@APP@": settings.DATABASE_APP_ROLE, "@PLATFORM@": settings.DATABASE_PLATFORM_ROLE}
    for mark, role in roles.items():
        text = text.replace(mark, role)
    return migrations.RunSQL(text)


class Migration(migrations.Migration):
    dependencies = [("detection", "0008_idempotent_calls")]

    operations = [
        TenantTable("detection_idempotentcall", references=[("sub_token_id", "billing_subtoken")]),
        migrations.RunSQL(KEYS),
        from_file("partitions"),
        from_file("admit_partitioned"),
        from_file("settle_partitioned"),
        from_file("count_usage_partitioned"),
        from_file("scope_once"),
    ]
