-- Before a request's credential is known there is no scope, so these questions pass the wall; they answer only to whoever
-- has the secret. A former secret finds its key until its grace is over.
CREATE OR REPLACE FUNCTION tenants_management_key_by_hash(p_hash text) RETURNS SETOF tenants_managementkey
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
    SELECT * FROM tenants_managementkey WHERE secret_hash = p_hash
    UNION ALL
    SELECT k.* FROM tenants_managementkey k
      JOIN tenants_retiredkeysecret r ON r.org_id = k.org_id AND r.key_id = k.id
     WHERE r.secret_hash = p_hash
$$;

CREATE OR REPLACE FUNCTION tenants_retired_key_secret_by_hash(p_hash text) RETURNS SETOF tenants_retiredkeysecret
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS
    $$ SELECT * FROM tenants_retiredkeysecret WHERE secret_hash = p_hash $$;

REVOKE ALL ON FUNCTION tenants_management_key_by_hash(text), tenants_retired_key_secret_by_hash(text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION tenants_management_key_by_hash(text), tenants_retired_key_secret_by_hash(text)
    TO @APP@, @PLATFORM@;
