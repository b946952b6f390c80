"""The two roles, the scope that each transaction works in, and the walls of the first tables.

The timeouts say how long the restricted role may keep the database busy, wait for a lock, or do nothing inside a
transaction. They are the role's, so that they hold behind a transaction pooler too, and begin with its next connection.
Work at night raises the first for itself (`platform_scope(patient=True)`); the owner, who migrates, has none.
"""

from django.conf import settings
from django.db import migrations

from tenants.migration_operations import SqlFile, TenantTable

APP, PLATFORM = settings.DATABASE_APP_ROLE, settings.DATABASE_PLATFORM_ROLE

ROLES = f"""
DO $$ BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = '{APP}') THEN
        CREATE ROLE {APP} LOGIN NOBYPASSRLS;
    END IF;
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = '{PLATFORM}') THEN
        CREATE ROLE {PLATFORM} NOLOGIN NOBYPASSRLS;
    END IF;
END $$;
GRANT {PLATFORM} TO {APP} WITH INHERIT FALSE, SET TRUE;
GRANT USAGE ON SCHEMA public TO {APP}, {PLATFORM};
GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO {APP}, {PLATFORM};
GRANT USAGE, SELECT ON ALL SEQUENCES IN SCHEMA public TO {APP}, {PLATFORM};
ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO {APP}, {PLATFORM};
ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT USAGE, SELECT ON SEQUENCES TO {APP}, {PLATFORM};
"""

# Where only the role's maker may set them, it says so and goes on.
TIMEOUTS = f"""
DO $$ BEGIN
    ALTER ROLE {APP} SET statement_timeout = '30s';
    ALTER ROLE {APP} SET lock_timeout = '10s';
    ALTER ROLE {APP} SET idle_in_transaction_session_timeout = '120s';
EXCEPTION WHEN insufficient_privilege THEN
    RAISE WARNING 'the timeouts of {APP} could not be set: set them as docs/operations.md says';
END $$
"""

# An organization is its own tenant; a person in scope sees their own memberships and the organizations these lead to.
ORGANIZATION_WALL = f"""
ALTER TABLE tenants_organization ENABLE ROW LEVEL SECURITY;
CREATE POLICY tenant ON tenants_organization TO {APP}
    USING (id = tokensight_org_id()) WITH CHECK (id = tokensight_org_id());
CREATE POLICY platform ON tenants_organization TO {PLATFORM} USING (true) WITH CHECK (true);
CREATE POLICY own ON tenants_membership FOR SELECT TO {APP} USING (user_id = tokensight_user_id());
CREATE POLICY own ON tenants_organization FOR SELECT TO {APP}
    USING (id IN (SELECT org_id FROM tenants_membership WHERE user_id = tokensight_user_id()));
"""


class Migration(migrations.Migration):
    replaces = [
        ("tenants", "0002_walls"),
    ]

    dependencies = [("tenants", "0001_people_and_organizations")]

    operations = [
        migrations.RunSQL(ROLES),
        migrations.RunSQL(TIMEOUTS),
        SqlFile(__file__, "scope"),
        SqlFile(__file__, "append_only"),
        TenantTable("tenants_team", references=[("parent_id", "tenants_team")]),
        TenantTable("tenants_membership"),
        migrations.RunSQL(ORGANIZATION_WALL),
        SqlFile(__file__, "organizations"),
    ]
