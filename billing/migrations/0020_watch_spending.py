"""Who empties a pool or a sub-token on purpose is not told that it is empty."""

from pathlib import Path

from django.db import migrations

SQL = Path(__file__).parent / "sql"


def before() -> str:
    """Return the function as it was made first."""
    text = (SQL / "watch.sql").read_text()
    start, end = text.index("CREATE FUNCTION billing_watch_account()"), text.index("CREATE TRIGGER account_watch_new")
    return text[start:end].replace("CREATE FUNCTION", "CREATE OR REPLACE FUNCTION", 1)


class Migration(migrations.Migration):
    dependencies = [("billing", "0019_plans")]

    operations = [migrations.RunSQL((SQL / "watch_spending.sql").read_text(), before())]
