-- Who is invited belongs to no organization yet, so this one question passes the wall; it answers only to whoever has the
-- link that was mailed.
CREATE OR REPLACE FUNCTION tenants_invitation_by_hash(p_hash text) RETURNS SETOF tenants_invitation
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS
    $$ SELECT * FROM tenants_invitation WHERE secret_hash = p_hash $$;

REVOKE ALL ON FUNCTION tenants_invitation_by_hash(text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION tenants_invitation_by_hash(text) TO @APP@, @PLATFORM@;
