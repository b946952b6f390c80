"""Settle a batch without keeping its accounts locked while the disk writes, and claim one without opening every week."""

from importlib import import_module
from pathlib import Path

from django.conf import settings
from django.db import migrations

SQL = Path(__file__).parent / "sql"
OLD_CLAIM = "detection_claim(uuid, int, int, text, timestamptz, timestamptz)"
NEW_CLAIM = "detection_claim(uuid, int, int, text, timestamptz, timestamptz, timestamptz)"
CLAIM_BEFORE = import_module("detection.migrations.0003_kept_plans").CLAIM


def text(name: str) -> str:
    return (SQL / f"{name}.sql").read_text().replace("@PLATFORM@", settings.DATABASE_PLATFORM_ROLE)


# The file holds detection_finish too, as it was before 0010: only what follows it is wanted.
SETTLE_BEFORE = text("settle_partitioned").partition("-- Finish a worker's batch in one statement")[2]


class Migration(migrations.Migration):
    dependencies = [("detection", "0013_weekly_usage")]

    operations = [
        migrations.RunSQL(text("settle_unlocked"), f"-- Finish a worker's batch in one statement{SETTLE_BEFORE}"),
        migrations.RunSQL(f"DROP FUNCTION {OLD_CLAIM}; {text('claim_bounded')}", f"DROP FUNCTION {NEW_CLAIM}; {CLAIM_BEFORE}"),
    ]
