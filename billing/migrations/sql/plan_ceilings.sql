-- The ceilings of an organization's plan, beside the limits that it sets itself.

-- By how much an organization's ceilings are raised at p_now: 1 without a boost.
CREATE FUNCTION billing_boost_factor(p_org uuid, p_now timestamptz) RETURNS numeric
LANGUAGE sql STABLE
SET search_path = public, pg_temp
AS $$
    SELECT coalesce((
        SELECT b.factor FROM billing_boost b
        WHERE b.org_id = p_org AND b.ends_at > p_now AND b.starts_at <= p_now
        LIMIT 1
    ), 1)
$$;

-- The periods that have a ceiling at p_now; the total's lasts for ever. Of the plan there is one, per clock hour. Without
-- a search_path of its own, so that PostgreSQL can inline it.
CREATE OR REPLACE FUNCTION billing_limit_periods(p_limits billing_limits, p_now timestamptz)
RETURNS TABLE (period text, ceiling_mtok bigint, starts_at timestamptz, ends_at timestamptz)
LANGUAGE sql STABLE
AS $$
    SELECT p.period, p.ceiling_mtok, p.starts_at, p.ends_at
    FROM (VALUES
        ('hour', (p_limits).tokens_per_hour_mtok, date_trunc('hour', p_now, 'UTC'),
         date_trunc('hour', p_now, 'UTC') + interval '1 hour'),
        ('day', (p_limits).tokens_per_day_mtok, date_trunc('day', p_now, 'UTC'),
         date_trunc('day', p_now, 'UTC') + interval '24 hours'),
        ('month', (p_limits).tokens_per_month_mtok, date_trunc('month', p_now, 'UTC'),
         (date_trunc('month', p_now AT TIME ZONE 'UTC') + interval '1 month') AT TIME ZONE 'UTC'),
        ('total', (p_limits).tokens_total_mtok, 'epoch'::timestamptz, NULL),
        ('planhour', CASE WHEN (p_limits).plan_tokens_per_hour_mtok IS NOT NULL THEN
            floor((p_limits).plan_tokens_per_hour_mtok * billing_boost_factor((p_limits).org_id, p_now))::bigint END,
         date_trunc('hour', p_now, 'UTC'), date_trunc('hour', p_now, 'UTC') + interval '1 hour')
    ) AS p (period, ceiling_mtok, starts_at, ends_at)
    WHERE p.ceiling_mtok IS NOT NULL
$$;

-- Whether p_amount more fits into every window of the accounts' limits: their windows, or a refusal. The refusal names
-- the limit that is in the way for the longest time: {"limit", "level", "account", "resets_at", "limit_mtok",
-- "used_mtok", "plan"}; `plan` says that it is the plan's ceiling.
--
-- Locks the limits in order of account, and keeps them so until the transaction ends; the accounts are locked before.
CREATE OR REPLACE FUNCTION billing_check_limits(
    p_org uuid, p_accounts uuid[], p_amount bigint, p_now timestamptz, OUT windows uuid[], OUT refusal jsonb
)
LANGUAGE plpgsql
SET search_path = public, pg_temp
SET enable_seqscan = off
SET plan_cache_mode = force_generic_plan
AS $$
DECLARE
    v_missing boolean;
BEGIN
    PERFORM 1 FROM billing_limits l
    WHERE l.org_id = p_org AND l.account_id = ANY (p_accounts)
    ORDER BY l.account_id
    FOR NO KEY UPDATE;

    LOOP
        SELECT array_agg(w.id), bool_or(w.id IS NULL),
               (array_agg(
                   jsonb_build_object(
                       'limit', CASE p.period WHEN 'total' THEN 'tokens_total' WHEN 'planhour' THEN 'tokens_per_hour'
                           ELSE 'tokens_per_' || p.period END,
                       'account', l.account_id, 'resets_at', p.ends_at, 'limit_mtok', p.ceiling_mtok,
                       'used_mtok', coalesce(w.used_mtok, 0), 'plan', p.period = 'planhour')
                   ORDER BY p.ends_at DESC NULLS FIRST, p.period
               ) FILTER (WHERE coalesce(w.used_mtok, 0) + p_amount > p.ceiling_mtok))[1]
        INTO windows, v_missing, refusal
        FROM billing_limits l
        CROSS JOIN LATERAL billing_limit_periods(l, p_now) AS p
        LEFT JOIN billing_limitwindow w
            ON w.org_id = p_org AND w.account_id = l.account_id AND w.period = p.period AND w.starts_at = p.starts_at
        WHERE l.org_id = p_org AND l.account_id = ANY (p_accounts);

        EXIT WHEN refusal IS NOT NULL OR v_missing IS NOT TRUE;

        INSERT INTO billing_limitwindow (id, org_id, created_at, account_id, period, starts_at, used_mtok)
        SELECT tokensight_new_id(), p_org, p_now, l.account_id, p.period, p.starts_at, 0
        FROM billing_limits l
        CROSS JOIN LATERAL billing_limit_periods(l, p_now) AS p
        WHERE l.org_id = p_org AND l.account_id = ANY (p_accounts)
        ON CONFLICT (org_id, account_id, period, starts_at) DO NOTHING;
    END LOOP;

    IF refusal IS NOT NULL THEN
        refusal := refusal || jsonb_build_object('level', (
            SELECT billing_level(a.kind) FROM billing_account a
            WHERE a.org_id = p_org AND a.id = (refusal ->> 'account')::uuid
        ));
    END IF;
END $$;

-- What the accounts' holds that were placed in the period which began at p_starts_at, and is not over, hold and captured.
--
-- Days are summed up already, by the day of the capture (billing_dailyburn). For a day or a longer period this adds them
-- up, and takes off what was held before the period began and captured in it. No hold lives for a day.
CREATE OR REPLACE FUNCTION billing_spent_in_period(
    p_org uuid, p_accounts uuid[], p_period text, p_starts_at timestamptz
) RETURNS bigint
LANGUAGE sql STABLE
SET search_path = public, pg_temp
AS $$
    SELECT (CASE WHEN p_period IN ('hour', 'planhour') THEN (
        SELECT coalesce(sum(CASE h.status WHEN 'held' THEN h.amount_mtok ELSE h.captured_mtok END), 0)
        FROM billing_hold h
        WHERE h.org_id = p_org AND h.created_at >= p_starts_at AND h.account_id = ANY (p_accounts)
    ) ELSE (
        SELECT coalesce(sum(d.captured_mtok), 0) FROM billing_dailyburn d
        WHERE d.org_id = p_org AND d.day >= (p_starts_at AT TIME ZONE 'UTC')::date AND d.account_id = ANY (p_accounts)
    ) + (
        SELECT coalesce(sum(h.amount_mtok), 0) FROM billing_hold h
        WHERE h.status = 'held' AND h.account_id = ANY (p_accounts) AND h.created_at >= p_starts_at
    ) - (
        SELECT coalesce(sum(h.captured_mtok), 0) FROM billing_hold h
        WHERE p_period <> 'total' AND h.org_id = p_org
          AND h.created_at >= p_starts_at - interval '1 day' AND h.created_at < p_starts_at
          AND h.resolved_at >= p_starts_at AND h.status = 'captured' AND h.account_id = ANY (p_accounts)
    ) END)::bigint
$$;

-- The ceiling whose levels raise alerts. Of a plan's ceiling there are none: it is full again within the hour.
CREATE OR REPLACE FUNCTION billing_ceiling(p_org uuid, p_account uuid, p_period text) RETURNS bigint
LANGUAGE sql STABLE
SET search_path = public, pg_temp
AS $$
    SELECT CASE p_period
        WHEN 'hour' THEN l.tokens_per_hour_mtok
        WHEN 'day' THEN l.tokens_per_day_mtok
        WHEN 'month' THEN l.tokens_per_month_mtok
        WHEN 'total' THEN l.tokens_total_mtok
    END
    FROM billing_limits l WHERE l.org_id = p_org AND l.account_id = p_account
$$;

-- Watch an account's windows that run for their first level again. Levels that were told of are not told of twice.
CREATE OR REPLACE FUNCTION billing_watch_windows(p_org uuid, p_account uuid) RETURNS void
LANGUAGE sql
SET search_path = public, pg_temp
AS $$
    UPDATE billing_limitwindow w
    SET watch_at_mtok = billing_watch_at(true, p.ceiling_mtok, 0::smallint, billing_alert_levels(p_org))
    FROM billing_limits l
    CROSS JOIN LATERAL billing_limit_periods(l, now()) AS p
    WHERE l.org_id = p_org AND l.account_id = p_account AND p.period <> 'planhour'
      AND w.org_id = p_org AND w.account_id = p_account AND w.period = p.period AND w.starts_at = p.starts_at
$$;

-- What an organization's plan allows: {"key", "name", "slug", "requests_per_second", "burst", "concurrency", "models",
-- "weight", "factor", "changes_at"}. `factor` is what a boost multiplies the ceilings by, `changes_at` when that ends or
-- another begins.
CREATE FUNCTION billing_plan_terms(p_org uuid, p_now timestamptz) RETURNS jsonb
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
