"""What bounds a call's requests on every level, found with its credential in one round trip."""

from pathlib import Path

from django.conf import settings
from django.db import migrations

ROLES = f"{settings.DATABASE_APP_ROLE}, {settings.DATABASE_PLATFORM_ROLE}"
FUNCTIONS = (Path(__file__).parent / "sql/rate_levels.sql").read_text()
GRANTS = f"""
REVOKE ALL ON FUNCTION billing_rate_levels_by_hash(text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION billing_rate_levels_by_hash(text) TO {ROLES};
"""
DROP = "DROP FUNCTION billing_rate_levels_by_hash(text), billing_rate_levels(uuid, uuid)"


class Migration(migrations.Migration):
    dependencies = [("billing", "0014_watched_limits"), ("tenants", "0013_when_uncounted")]

    operations = [migrations.RunSQL(FUNCTIONS + GRANTS, DROP)]
