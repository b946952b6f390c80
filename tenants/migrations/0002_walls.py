"""Roles, the functions that read the scope, and row-level security on the first tenant tables."""

from django.conf import settings
from django.db import migrations

from tenants.migration_operations import TenantTable

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

FUNCTIONS = """
CREATE FUNCTION tokensight_org_id() RETURNS uuid LANGUAGE sql STABLE PARALLEL SAFE AS
    $$ SELECT NULLIF(current_setting('tokensight.org_id', true), '')::uuid $$;
CREATE FUNCTION tokensight_user_id() RETURNS uuid LANGUAGE sql STABLE PARALLEL SAFE AS
    $$ SELECT NULLIF(current_setting('tokensight.user_id', true), '')::uuid $$;
CREATE FUNCTION tokensight_refuse_change() RETURNS trigger LANGUAGE plpgsql AS
    $$ BEGIN RAISE EXCEPTION '% is append-only: % is refused', TG_TABLE_NAME, TG_OP USING ERRCODE = 'restrict_violation'; END $$;
"""
DROP_FUNCTIONS = "DROP FUNCTION tokensight_org_id(), tokensight_user_id(), tokensight_refuse_change()"

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
DROP_ORGANIZATION_WALL = """
DROP POLICY own ON tenants_organization;
DROP POLICY own ON tenants_membership;
DROP POLICY platform ON tenants_organization;
DROP POLICY tenant ON tenants_organization;
ALTER TABLE tenants_organization DISABLE ROW LEVEL SECURITY;
"""


class Migration(migrations.Migration):
    dependencies = [("tenants", "0001_organizations")]

    operations = [
        migrations.RunSQL(ROLES, migrations.RunSQL.noop),
        migrations.RunSQL(FUNCTIONS, DROP_FUNCTIONS),
        TenantTable("tenants_team", references=[("parent_id", "tenants_team")]),
        TenantTable("tenants_membership"),
        migrations.RunSQL(ORGANIZATION_WALL, DROP_ORGANIZATION_WALL),
    ]
