"""How long the restricted role may keep the database busy, wait for a lock, or do nothing inside a transaction.

They are the role's, so that they hold behind a transaction pooler too, and begin with its next connection. Work at
night raises the first for itself (`platform_scope(patient=True)`); the owner, who migrates, has none.
"""

from django.conf import settings
from django.db import migrations

TIMEOUTS = {
    "statement_timeout": "30s",
    "lock_timeout": "10s",
    "idle_in_transaction_session_timeout": "120s",
}


def on_role(action: str) -> str:
    """Return SQL that does this to the role's settings; where only the role's maker may, it says so and goes on."""
    return f"""
DO $$ BEGIN
    {action}
EXCEPTION WHEN insufficient_privilege THEN
    RAISE WARNING 'the timeouts of {settings.DATABASE_APP_ROLE} could not be set: set them as docs/operations.md says';
END $$
"""


SET = "".join(f"ALTER ROLE {settings.DATABASE_APP_ROLE} SET {name} = '{value}';" for name, value in TIMEOUTS.items())
RESET = "".join(f"ALTER ROLE {settings.DATABASE_APP_ROLE} RESET {name};" for name in TIMEOUTS)


class Migration(migrations.Migration):
    dependencies = [("tenants", "0010_frozen_organizations")]

    operations = [migrations.RunSQL(on_role(SET), on_role(RESET))]
