-- The levels of the plan's Tokens per hour are watched like those of an organization's own limits.

-- The ceiling whose levels raise alerts; the plan's as a boost raises it at this moment.
CREATE OR REPLACE FUNCTION billing_ceiling(p_org uuid, p_account uuid, p_period text) RETURNS bigint
LANGUAGE sql STABLE
SET search_path = public, pg_temp
AS $$
    SELECT CASE p_period
        WHEN 'hour' THEN l.tokens_per_hour_mtok
        WHEN 'day' THEN l.tokens_per_day_mtok
        WHEN 'month' THEN l.tokens_per_month_mtok
        WHEN 'total' THEN l.tokens_total_mtok
        WHEN 'planhour' THEN floor(l.plan_tokens_per_hour_mtok * billing_boost_factor(p_org, now()))::bigint
    END
    FROM billing_limits l WHERE l.org_id = p_org AND l.account_id = p_account
$$;

-- A ceiling may have risen by itself since the mark was set, when a boost began: then nothing was reached yet, and the
-- first level is looked for again.
CREATE OR REPLACE FUNCTION billing_watch_window() RETURNS trigger
LANGUAGE plpgsql
SET search_path = public, pg_temp
AS $$
DECLARE
    v_levels smallint[] := billing_alert_levels(NEW.org_id);
    v_ceiling bigint := billing_ceiling(NEW.org_id, NEW.account_id, NEW.period);
    v_passed smallint[];
    v_reached smallint;
BEGIN
    IF v_ceiling IS NULL THEN
        RETURN NULL;
    END IF;
    SELECT array_agg(level ORDER BY level), max(level) INTO v_passed, v_reached
    FROM unnest(v_levels) AS level
    WHERE NEW.used_mtok * 100 >= v_ceiling * level AND (v_ceiling * level + 99) / 100 >= NEW.watch_at_mtok;
    UPDATE billing_limitwindow
    SET watch_at_mtok = billing_watch_at(true, v_ceiling, coalesce(v_reached, 0::smallint), v_levels)
    WHERE id = NEW.id AND org_id = NEW.org_id;
    IF v_passed IS NOT NULL THEN
        INSERT INTO billing_crossing (
            id, org_id, created_at, due_at, account_id, span, levels, period, used_mtok, whole_mtok, refused
        ) VALUES (
            tokensight_new_id(), NEW.org_id, now(), now(), NEW.account_id, NEW.period, v_passed,
            to_char(NEW.starts_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"'), NEW.used_mtok, v_ceiling, false
        );
    END IF;
    RETURN NULL;
END $$;

-- Watch an account's windows that run for their first level again. Levels that were told of are not told of twice.
CREATE OR REPLACE FUNCTION billing_watch_windows(p_org uuid, p_account uuid) RETURNS void
LANGUAGE sql
SET search_path = public, pg_temp
AS $$
    UPDATE billing_limitwindow w
    SET watch_at_mtok = billing_watch_at(true, p.ceiling_mtok, 0::smallint, billing_alert_levels(p_org))
    FROM billing_limits l
    CROSS JOIN LATERAL billing_limit_periods(l, now()) AS p
    WHERE l.org_id = p_org AND l.account_id = p_account
      AND w.org_id = p_org AND w.account_id = p_account AND w.period = p.period AND w.starts_at = p.starts_at
$$;

DROP TRIGGER limits_watch ON billing_limits;
CREATE TRIGGER limits_watch
    AFTER UPDATE OF tokens_per_hour_mtok, tokens_per_day_mtok, tokens_per_month_mtok, tokens_total_mtok,
        plan_tokens_per_hour_mtok
    ON billing_limits
    FOR EACH ROW EXECUTE FUNCTION billing_watch_limits();
