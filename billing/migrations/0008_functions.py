"""The functions that move Tokens, and the triggers that watch them: one file of SQL for each subject."""

from django.db import migrations

from tenants.migration_operations import SqlFile


class Migration(migrations.Migration):
    replaces = [
        ("billing", "0020_watch_spending"),
        ("billing", "0028_watch_plan_hour"),
    ]

    dependencies = [("billing", "0007_alerts")]

    operations = [
        SqlFile(__file__, "plan_terms"),
        SqlFile(__file__, "limits"),
        SqlFile(__file__, "rate_levels"),
        SqlFile(__file__, "paths"),
        SqlFile(__file__, "lock_accounts"),
        SqlFile(__file__, "place_hold"),
        SqlFile(__file__, "capture_holds"),
        SqlFile(__file__, "release_holds"),
        SqlFile(__file__, "watch"),
        SqlFile(__file__, "watch_limits"),
        SqlFile(__file__, "auto_top_up"),
        SqlFile(__file__, "anonymise_ledger"),
    ]
