"""Walls around the sums of usage, the triggers that keep them in step with the calls, and what was used before."""

from pathlib import Path

from django.db import migrations

from tenants.migration_operations import TenantTable

SQL = Path(__file__).parent / "sql"
TABLES = ("detection_hourlyusage", "detection_dailyusage", "detection_tagusage")

# These rows change with every batch: leave room for the new version on the same page.
ROOM = "".join(f"ALTER TABLE {table} SET (fillfactor = 60);" for table in TABLES)
DROP_COUNT = """
DROP TRIGGER count_finished ON detection_job;
DROP TRIGGER count_inserted ON detection_job;
DROP FUNCTION detection_count_finished(), detection_count_inserted(), detection_count_usage(uuid[]);
"""


class Migration(migrations.Migration):
    dependencies = [("detection", "0004_usage")]

    operations = [
        *(TenantTable(table, references=[("sub_token_id", "billing_subtoken")]) for table in TABLES),
        migrations.RunSQL(ROOM, migrations.RunSQL.noop),
        migrations.RunSQL((SQL / "count_usage.sql").read_text(), DROP_COUNT),
        migrations.RunSQL((SQL / "backfill_usage.sql").read_text(), migrations.RunSQL.noop),
    ]
