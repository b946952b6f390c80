"""Watch the windows of limits, as accounts and grants are watched."""

from pathlib import Path

from django.db import migrations, models

SQL = Path(__file__).parent / "sql" / "watch_limits.sql"

# billing_watch_anew() stays as it is now: what it inserts has columns that the one before did not know.
UNWATCH = """
DROP TRIGGER window_watch_new ON billing_limitwindow;
DROP TRIGGER window_watch ON billing_limitwindow;
DROP TRIGGER limits_watch ON billing_limits;
DROP FUNCTION billing_watch_new_window(), billing_watch_window(), billing_watch_limits(),
    billing_watch_windows(uuid, uuid), billing_ceiling(uuid, uuid, text);
"""


class Migration(migrations.Migration):

    dependencies = [
        ('billing', '0013_anonymise_ledger'),
    ]

    operations = [
        migrations.AddField(
            model_name='crossing',
            name='refused',
            field=models.BooleanField(db_default=False, default=False),
        ),
        migrations.AddField(
            model_name='limitwindow',
            name='watch_at_mtok',
            field=models.BigIntegerField(editable=False, null=True),
        ),
        migrations.RunSQL(SQL.read_text(), UNWATCH),
        migrations.RunSQL(
            "SELECT billing_watch_windows(l.org_id, l.account_id) FROM billing_limits l", migrations.RunSQL.noop
        ),
    ]
