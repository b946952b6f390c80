"""Calls of one organization that gather in a web process are taken in together."""

from pathlib import Path

from django.db import migrations

SQL = Path(__file__).parent / "sql"


class Migration(migrations.Migration):
    dependencies = [("detection", "0016_spare_inputs"), ("billing", "0030_lock_for_holds")]

    operations = [
        migrations.RunSQL(
            (SQL / "admit_together.sql").read_text(), "DROP FUNCTION detection_admit_together(uuid, jsonb)"
        )
    ]
