-- What state an organization is in. Two of the questions pass the wall, as every call begins with them: before its scope
-- is known.

-- Whether an organization was to be deleted and its grace is over, by the database's own clock.
CREATE OR REPLACE FUNCTION tenants_is_due(p_org uuid) RETURNS boolean LANGUAGE sql STABLE SET search_path = pg_catalog, public, pg_temp AS $$
    SELECT EXISTS (SELECT FROM tenants_organization WHERE id = p_org AND deletion_due_at <= now())
$$;

-- Since when an organization refuses calls: it is being deleted, or was. For credentials, which know no scope yet.
CREATE OR REPLACE FUNCTION tenants_organization_closing(p_org uuid) RETURNS timestamptz
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
    SELECT deletion_requested_at FROM tenants_organization WHERE id = p_org
$$;

-- Since when an organization is frozen, null when it is not.
CREATE OR REPLACE FUNCTION tenants_frozen_at(p_org uuid) RETURNS timestamptz
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS
    $$ SELECT frozen_at FROM tenants_organization WHERE id = p_org $$;

REVOKE ALL ON FUNCTION tenants_organization_closing(uuid), tenants_frozen_at(uuid) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION tenants_organization_closing(uuid), tenants_frozen_at(uuid) TO @APP@, @PLATFORM@;
