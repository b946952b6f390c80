"""Settle a batch in one statement: its six round trips were most of what a call cost beside the inference."""

from importlib import import_module
from pathlib import Path

from django.conf import settings
from django.db import migrations

SQL = (Path(__file__).parent / "sql" / "settle.sql").read_text().replace("@PLATFORM@", settings.DATABASE_PLATFORM_ROLE)
DROP = "DROP FUNCTION detection_settle(text, jsonb, timestamptz), detection_finish(jsonb, timestamptz)"
BEFORE = import_module("detection.migrations.0003_kept_plans").SETTLE


class Migration(migrations.Migration):
    dependencies = [("detection", "0006_refusals"), ("billing", "0010_lock_for_resolving")]

    operations = [
        migrations.RunSQL("DROP FUNCTION detection_finish(jsonb), detection_lock_running(uuid[], text)", BEFORE),
        migrations.RunSQL(SQL, DROP),
    ]
