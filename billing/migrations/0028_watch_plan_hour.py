"""The levels of a plan's Tokens per hour raise alerts."""

from pathlib import Path

from django.db import migrations

SQL = Path(__file__).parent / "sql"


def functions(name: str, *wanted: str) -> str:
    """Return functions of one of the files, to be put in place of newer ones."""
    parts = (SQL / f"{name}.sql").read_text().split("\n\n")
    found = [part for part in parts if any(f"FUNCTION {function}(" in part for function in wanted)]
    return "\n".join(found).replace("CREATE FUNCTION", "CREATE OR REPLACE FUNCTION")


UNWATCH = (
    functions("plan_ceilings", "billing_ceiling", "billing_watch_windows")
    + functions("watch_limits", "billing_watch_window")
    + """
DROP TRIGGER limits_watch ON billing_limits;
CREATE TRIGGER limits_watch
    AFTER UPDATE OF tokens_per_hour_mtok, tokens_per_day_mtok, tokens_per_month_mtok, tokens_total_mtok ON billing_limits
    FOR EACH ROW EXECUTE FUNCTION billing_watch_limits();
"""
)


class Migration(migrations.Migration):
    dependencies = [("billing", "0027_bonus_of_refunds_and_disputes")]

    operations = [
        migrations.RunSQL((SQL / "watch_plan_hour.sql").read_text(), UNWATCH),
        migrations.RunSQL(
            "SELECT billing_watch_windows(l.org_id, l.account_id) FROM billing_limits l", migrations.RunSQL.noop
        ),
    ]
