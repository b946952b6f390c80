"""Let an admission that is refused say which limit was in the way."""

from importlib import import_module
from pathlib import Path

from django.db import migrations

ADMIT = "detection_admit(uuid, uuid, uuid, text, text, boolean, float8, jsonb, timestamptz, timestamptz)"
FIRST = import_module("detection.migrations.0002_admission")
# What it answers has one column more, which only a new function can have.
NEW = f"DROP FUNCTION {ADMIT}; " + (Path(__file__).parent / "sql/admit.sql").read_text()
OLD = (
    f"DROP FUNCTION {ADMIT}; {FIRST.ADMIT}; "
    f"ALTER FUNCTION {ADMIT} SET plan_cache_mode = force_generic_plan SET enable_seqscan = off"
)


class Migration(migrations.Migration):
    dependencies = [("detection", "0005_usage_sums"), ("billing", "0009_limits")]

    operations = [migrations.RunSQL(NEW, OLD)]
