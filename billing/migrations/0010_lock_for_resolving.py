"""A transaction that captures and releases locks its accounts by a function, so that settling can be one statement."""

from pathlib import Path

from django.db import migrations

SQL = Path(__file__).parent / "sql" / "lock_for_resolving.sql"


class Migration(migrations.Migration):
    dependencies = [("billing", "0009_limits")]

    operations = [migrations.RunSQL(SQL.read_text(), "DROP FUNCTION billing_lock_for_resolving(uuid[])")]
