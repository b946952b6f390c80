"""What a hold gives back leaves the windows of limits in which it was counted."""

from pathlib import Path

from django.db import migrations

SQL = Path(__file__).parent / "sql"
RELEASE = "billing_release_holds(uuid[], text, timestamptz)"


def text(name: str) -> str:
    return (SQL / f"{name}.sql").read_text()


OLD_RELEASE = (
    text("release_holds").replace("CREATE FUNCTION", "CREATE OR REPLACE FUNCTION", 1)
    + f"; ALTER FUNCTION {RELEASE} SET plan_cache_mode = force_generic_plan"
)


class Migration(migrations.Migration):
    dependencies = [("billing", "0015_rate_levels")]

    operations = [
        migrations.RunSQL(text("capture_holds_limits"), text("capture_holds_in_bulk")),
        migrations.RunSQL(text("release_holds_limits"), OLD_RELEASE),
    ]
