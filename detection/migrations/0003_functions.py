"""The functions that take calls in, hand them to workers, settle and count them; and the weeks that they lie in."""

from django.db import migrations

from tenants.migration_operations import SqlFile


class Migration(migrations.Migration):
    replaces = [
        ("detection", "0003_kept_plans"),
        ("detection", "0007_settle_at_once"),
        ("detection", "0009_partitions"),
        ("detection", "0010_count_batches"),
        ("detection", "0014_quicker_batches"),
        ("detection", "0015_settle_by_key"),
    ]

    dependencies = [("detection", "0002_sums_of_usage")]

    operations = [
        SqlFile(__file__, "count_usage"),
        SqlFile(__file__, "partitions"),
        SqlFile(__file__, "admit"),
        SqlFile(__file__, "admit_waiting"),
        SqlFile(__file__, "admit_together"),
        SqlFile(__file__, "claim"),
        SqlFile(__file__, "settle"),
    ]
