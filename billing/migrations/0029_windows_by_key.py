"""Look at the windows of limits by their keys, and reckon once when their periods begin."""

from pathlib import Path

from django.db import migrations

SQL = Path(__file__).parent / "sql"


def before() -> str:
    """Return the function as plans brought it."""
    text = (SQL / "plan_ceilings.sql").read_text()
    begin = text.index("CREATE OR REPLACE FUNCTION billing_check_limits(")
    return text[begin : text.index("END $$;", begin)] + "END $$;"


class Migration(migrations.Migration):
    dependencies = [("billing", "0028_watch_plan_hour")]

    operations = [migrations.RunSQL((SQL / "windows_by_key.sql").read_text(), before())]
