-- Whether p_amount more fits into every window of the accounts' limits: their windows, or a refusal. The refusal names
-- the limit that is in the way for the longest time: {"limit", "level", "account", "resets_at", "limit_mtok",
-- "used_mtok", "plan"}; `plan` says that it is the plan's ceiling.
--
-- Locks the limits in order of account, and keeps them so until the transaction ends; the accounts are locked before.
--
-- Every call looks here with locks in its hand that others wait for. So when the periods begin is reckoned once and not
-- for each limit, and only a refusal is described. Windows are looked up by their keys: left to itself, the planner joins
-- them to all that the organization has ever had, and a connection keeps that plan while they grow.
CREATE OR REPLACE FUNCTION billing_check_limits(
    p_org uuid, p_accounts uuid[], p_amount bigint, p_now timestamptz, OUT windows uuid[], OUT refusal jsonb
)
LANGUAGE plpgsql
SET search_path = public, pg_temp
SET enable_seqscan = off
SET enable_bitmapscan = off
SET enable_hashjoin = off
SET enable_mergejoin = off
SET enable_material = off
SET plan_cache_mode = force_generic_plan
AS $$
DECLARE
    v_hour timestamptz := date_trunc('hour', p_now, 'UTC');
    v_day timestamptz := date_trunc('day', p_now, 'UTC');
    v_month timestamptz := date_trunc('month', p_now, 'UTC');
    v_missing boolean;
    v_full boolean;
BEGIN
    PERFORM 1 FROM billing_limits l
    WHERE l.org_id = p_org AND l.account_id = ANY (p_accounts)
    ORDER BY l.account_id
    FOR NO KEY UPDATE;

    LOOP
        SELECT array_agg(w.id), bool_or(w.id IS NULL),
               bool_or(coalesce(w.used_mtok, 0) + p_amount > p.ceiling_mtok)
        INTO windows, v_missing, v_full
        FROM billing_limits l
        CROSS JOIN LATERAL (VALUES
            ('hour', l.tokens_per_hour_mtok, v_hour),
            ('day', l.tokens_per_day_mtok, v_day),
            ('month', l.tokens_per_month_mtok, v_month),
            ('total', l.tokens_total_mtok, 'epoch'::timestamptz),
            ('planhour', CASE WHEN l.plan_tokens_per_hour_mtok IS NOT NULL THEN
                floor(l.plan_tokens_per_hour_mtok * billing_boost_factor(p_org, p_now))::bigint END, v_hour)
        ) AS p (period, ceiling_mtok, starts_at)
        LEFT JOIN billing_limitwindow w
            ON w.org_id = p_org AND w.account_id = l.account_id AND w.period = p.period AND w.starts_at = p.starts_at
        WHERE l.org_id = p_org AND l.account_id = ANY (p_accounts) AND p.ceiling_mtok IS NOT NULL;

        EXIT WHEN v_full OR v_missing IS NOT TRUE;

        INSERT INTO billing_limitwindow (id, org_id, created_at, account_id, period, starts_at, used_mtok)
        SELECT tokensight_new_id(), p_org, p_now, l.account_id, p.period, p.starts_at, 0
        FROM billing_limits l
        CROSS JOIN LATERAL billing_limit_periods(l, p_now) AS p
        WHERE l.org_id = p_org AND l.account_id = ANY (p_accounts)
        ON CONFLICT (org_id, account_id, period, starts_at) DO NOTHING;
    END LOOP;

    IF v_full THEN
        SELECT jsonb_build_object(
            'limit', CASE p.period WHEN 'total' THEN 'tokens_total' WHEN 'planhour' THEN 'tokens_per_hour'
                ELSE 'tokens_per_' || p.period END,
            'level', billing_level(a.kind), 'account', l.account_id, 'resets_at', p.ends_at,
            'limit_mtok', p.ceiling_mtok, 'used_mtok', coalesce(w.used_mtok, 0), 'plan', p.period = 'planhour')
        INTO STRICT refusal
        FROM billing_limits l
        JOIN billing_account a ON a.org_id = p_org AND a.id = l.account_id
        CROSS JOIN LATERAL billing_limit_periods(l, p_now) AS p
        LEFT JOIN billing_limitwindow w
            ON w.org_id = p_org AND w.account_id = l.account_id AND w.period = p.period AND w.starts_at = p.starts_at
        WHERE l.org_id = p_org AND l.account_id = ANY (p_accounts)
          AND coalesce(w.used_mtok, 0) + p_amount > p.ceiling_mtok
        ORDER BY p.ends_at DESC NULLS FIRST, p.period
        LIMIT 1;
    END IF;
END $$;
