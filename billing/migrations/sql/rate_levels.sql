-- What bounds the requests of an account: {"when_uncounted", "plan", "levels": [{"level", "account",
-- "requests_per_second", "burst", "requests_per_day", "concurrency"}, ...]}, from the account upward, levels without any
-- such bound left out; `plan` as billing_plan_terms says.
CREATE OR REPLACE FUNCTION billing_rate_levels(p_org uuid, p_account uuid) RETURNS jsonb
LANGUAGE sql STABLE
SET search_path = public, pg_temp
AS $$
    WITH RECURSIVE way AS (
        SELECT a.id, a.parent_id, a.kind, 1 AS depth FROM billing_account a WHERE a.id = p_account AND a.org_id = p_org
        UNION ALL
        SELECT a.id, a.parent_id, a.kind, way.depth + 1
        FROM way JOIN billing_account a ON a.id = way.parent_id AND a.org_id = p_org
    )
    SELECT jsonb_build_object(
        'when_uncounted', (SELECT o.when_uncounted FROM tenants_organization o WHERE o.id = p_org),
        'plan', billing_plan_terms(p_org, now()),
        'levels', (
            SELECT coalesce(jsonb_agg(jsonb_build_object(
                'level', billing_level(way.kind), 'account', way.id, 'requests_per_second', l.requests_per_second,
                'burst', l.burst, 'requests_per_day', l.requests_per_day, 'concurrency', l.concurrency
            ) ORDER BY way.depth), '[]')
            FROM way JOIN billing_limits l ON l.org_id = p_org AND l.account_id = way.id
            WHERE coalesce(l.requests_per_second, l.requests_per_day, l.concurrency) IS NOT NULL
        )
    )
$$;

-- The same before a call's credential is known and a scope is set; it answers only to whoever has the secret.
CREATE OR REPLACE FUNCTION billing_rate_levels_by_hash(p_hash text) RETURNS jsonb
LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = public, pg_temp
AS $$
    SELECT billing_rate_levels(s.org_id, s.account_id) FROM billing_sub_token_by_hash(p_hash) s LIMIT 1
$$;

REVOKE ALL ON FUNCTION billing_rate_levels_by_hash(text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION billing_rate_levels_by_hash(text) TO @APP@, @PLATFORM@;
