"""The ledger of a deleted organization stays, and names nobody."""

from pathlib import Path

from django.conf import settings
from django.db import migrations

FUNCTION = (Path(__file__).parent / "sql" / "anonymise_ledger.sql").read_text()
GRANTS = f"""
REVOKE ALL ON FUNCTION billing_anonymise_ledger(uuid, integer) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION billing_anonymise_ledger(uuid, integer) TO {settings.DATABASE_PLATFORM_ROLE};
"""


class Migration(migrations.Migration):
    dependencies = [
        ("billing", "0012_cheaper_captures"),
        ("tenants", "0012_ownership_and_closing"),
    ]

    operations = [
        migrations.RunSQL(FUNCTION, "DROP FUNCTION billing_anonymise_ledger(uuid, integer)"),
        migrations.RunSQL(GRANTS, migrations.RunSQL.noop),
    ]
