"""What a hold gives back leaves the windows of limits in which it was counted."""

from pathlib import Path

from django.db import migrations

SQL = Path(__file__).parent / "sql"
CAPTURE, RELEASE = "billing_capture_holds(jsonb, timestamptz)", "billing_release_holds(uuid[], text, timestamptz)"


def replaced(name: str, function: str) -> migrations.RunSQL:
    before = (SQL / f"{name}.sql").read_text().replace("CREATE FUNCTION", "CREATE OR REPLACE FUNCTION", 1)
    kept = f"; ALTER FUNCTION {function} SET plan_cache_mode = force_generic_plan"
    return migrations.RunSQL((SQL / f"{name}_limits.sql").read_text(), before + kept)


class Migration(migrations.Migration):
    dependencies = [("billing", "0012_rate_levels")]

    operations = [replaced("capture_holds", CAPTURE), replaced("release_holds", RELEASE)]
