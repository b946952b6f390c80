-- Before a call's credential is known there is no scope, so these questions pass the wall; they answer only to whoever has
-- the secret. A former secret finds its sub-token until its grace is over.
CREATE OR REPLACE FUNCTION billing_sub_token_by_hash(p_hash text) RETURNS SETOF billing_subtoken
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
    SELECT * FROM billing_subtoken WHERE secret_hash = p_hash
    UNION ALL
    SELECT s.* FROM billing_subtoken s
      JOIN billing_retiredsecret r ON r.org_id = s.org_id AND r.sub_token_id = s.id
     WHERE r.secret_hash = p_hash
$$;

CREATE OR REPLACE FUNCTION billing_retired_secret_by_hash(p_hash text) RETURNS SETOF billing_retiredsecret
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS
    $$ SELECT * FROM billing_retiredsecret WHERE secret_hash = p_hash $$;

REVOKE ALL ON FUNCTION billing_sub_token_by_hash(text), billing_retired_secret_by_hash(text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION billing_sub_token_by_hash(text), billing_retired_secret_by_hash(text) TO @APP@, @PLATFORM@;
