"""Holds that are placed together lock their accounts and limits at once."""

from pathlib import Path

from django.db import migrations

SQL = Path(__file__).parent / "sql"


class Migration(migrations.Migration):
    dependencies = [("billing", "0029_windows_by_key")]

    operations = [
        migrations.RunSQL(
            (SQL / "lock_for_holds.sql").read_text(), "DROP FUNCTION billing_lock_for_holds(uuid, uuid[])"
        )
    ]
