-- Limits of Tokens per hour, day, month and in all. A limit counts what is held and captured through its account and all
-- accounts below it; a window is one limit's count in one period, found by the time at which a hold was placed.

-- Which level an account stands for, in the words of the API.
CREATE OR REPLACE FUNCTION billing_level(p_kind text) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$
    SELECT CASE p_kind WHEN 'org_wallet' THEN 'organization' WHEN 'team_pool' THEN 'team' ELSE p_kind END
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

-- Take what holds gave back out of the windows in which they were counted. Call it after the holds are resolved, in the
-- same transaction. Locks the limits in order of account.
CREATE OR REPLACE FUNCTION billing_uncount_holds(p_hold_ids uuid[]) RETURNS void
LANGUAGE plpgsql
SET search_path = public, pg_temp
SET enable_seqscan = off
SET enable_hashjoin = off
SET enable_mergejoin = off
SET plan_cache_mode = force_generic_plan
AS $$
DECLARE
    v_accounts uuid[];
BEGIN
    SELECT array_agg(DISTINCT level.id) INTO v_accounts
    FROM billing_hold h
    JOIN billing_account a ON a.id = h.account_id
    CROSS JOIN LATERAL unnest(a.limited_by) AS level (id)
    WHERE h.id = ANY (p_hold_ids) AND h.captured_mtok < h.amount_mtok;
    IF v_accounts IS NULL THEN
        RETURN;
    END IF;

    PERFORM 1 FROM billing_limits l WHERE l.account_id = ANY (v_accounts) ORDER BY l.account_id FOR NO KEY UPDATE;

    UPDATE billing_limitwindow w
    SET used_mtok = w.used_mtok - back.mtok
    FROM (
        SELECT l.org_id, l.account_id, p.period, p.starts_at, sum(h.amount_mtok - h.captured_mtok) AS mtok
        FROM billing_hold h
        JOIN billing_account a ON a.id = h.account_id
        JOIN billing_limits l ON l.org_id = h.org_id AND l.account_id = ANY (a.limited_by)
        CROSS JOIN LATERAL billing_limit_periods(l, h.created_at) AS p
        WHERE h.id = ANY (p_hold_ids) AND h.captured_mtok < h.amount_mtok
        GROUP BY l.org_id, l.account_id, p.period, p.starts_at
    ) back
    WHERE w.org_id = back.org_id AND w.account_id = back.account_id
      AND w.period = back.period AND w.starts_at = back.starts_at;
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

-- Keep an organization's accounts as they are: nobody opens one until this transaction ends. Call it before any account
-- is locked.
CREATE OR REPLACE FUNCTION billing_shut_accounts(p_org uuid) RETURNS void
LANGUAGE sql VOLATILE
SET search_path = public, pg_temp
AS $$
    SELECT pg_advisory_xact_lock(hashtextextended('accounts:' || p_org, 0))
$$;

-- A new account stands under the limits that its parent stands under. Not by the parent's row lock: whoever opens an
-- account and moves Tokens into it would then lock accounts twice, and out of order.
CREATE OR REPLACE FUNCTION billing_inherit_limits() RETURNS trigger
LANGUAGE plpgsql
SET search_path = public, pg_temp
AS $$
BEGIN
    PERFORM pg_advisory_xact_lock_shared(hashtextextended('accounts:' || NEW.org_id, 0));
    SELECT a.limited_by INTO NEW.limited_by FROM billing_account a WHERE a.org_id = NEW.org_id AND a.id = NEW.parent_id;
    RETURN NEW;
END $$;

CREATE OR REPLACE TRIGGER account_inherits_limits BEFORE INSERT ON billing_account
    FOR EACH ROW WHEN (NEW.parent_id IS NOT NULL) EXECUTE FUNCTION billing_inherit_limits();
