"""Plan the functions of the hot path once per connection: planning their statements took longer than running them."""

from django.db import migrations

FUNCTIONS = (
    "billing_place_hold(uuid, uuid, uuid, bigint, text, uuid, timestamptz, timestamptz)",
    "billing_capture_holds(jsonb, timestamptz)",
    "billing_release_holds(uuid[], text, timestamptz)",
)


class Migration(migrations.Migration):
    dependencies = [("billing", "0005_team_with_pool_stays")]

    operations = [
        migrations.RunSQL(
            f"ALTER FUNCTION {function} SET plan_cache_mode = force_generic_plan",
            f"ALTER FUNCTION {function} RESET plan_cache_mode",
        )
        for function in FUNCTIONS
    ]
