-- The ceilings of an organization's plan, beside the limits that it sets itself.

-- By how much an organization's ceilings are raised at p_now: 1 without a boost.
CREATE OR REPLACE FUNCTION billing_boost_factor(p_org uuid, p_now timestamptz) RETURNS numeric
LANGUAGE sql STABLE
SET search_path = public, pg_temp
AS $$
    SELECT coalesce((
        SELECT b.factor FROM billing_boost b
        WHERE b.org_id = p_org AND b.ends_at > p_now AND b.starts_at <= p_now
        LIMIT 1
    ), 1)
$$;

-- What an organization's plan allows: {"key", "name", "slug", "requests_per_second", "burst", "concurrency", "models",
-- "weight", "factor", "changes_at"}. `factor` is what a boost multiplies the ceilings by, `changes_at` when that ends or
-- another begins.
CREATE OR REPLACE FUNCTION billing_plan_terms(p_org uuid, p_now timestamptz) RETURNS jsonb
LANGUAGE sql STABLE
SET search_path = public, pg_temp
AS $$
    SELECT jsonb_build_object(
        'key', p.key, 'name', p.name, 'requests_per_second', p.requests_per_second, 'burst', p.burst,
        'concurrency', p.concurrency, 'models', p.models, 'weight', p.weight,
        'slug', (SELECT o.slug FROM tenants_organization o WHERE o.id = p_org),
        'factor', billing_boost_factor(p_org, p_now),
        'changes_at', (
            SELECT min(CASE WHEN b.starts_at > p_now THEN b.starts_at ELSE b.ends_at END)
            FROM billing_boost b WHERE b.org_id = p_org AND b.ends_at > p_now
        ))
    FROM billing_subscription s JOIN billing_plan p ON p.id = s.plan_id
    WHERE s.org_id = p_org
$$;

REVOKE ALL ON FUNCTION billing_boost_factor(uuid, timestamptz), billing_plan_terms(uuid, timestamptz) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION billing_boost_factor(uuid, timestamptz), billing_plan_terms(uuid, timestamptz)
    TO @APP@, @PLATFORM@;
