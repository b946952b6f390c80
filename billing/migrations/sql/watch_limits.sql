-- What sees that a level of a limit's period is reached. A window begins with its first level (watch_at), and each
-- level that is reached sets the next. Levels count once per window, also when what was held is given back.

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

CREATE OR REPLACE FUNCTION billing_watch_new_window() RETURNS trigger
LANGUAGE plpgsql
SET search_path = public, pg_temp
AS $$
BEGIN
    NEW.watch_at_mtok := billing_watch_at(
        true, billing_ceiling(NEW.org_id, NEW.account_id, NEW.period), 0::smallint, billing_alert_levels(NEW.org_id)
    );
    RETURN NEW;
END $$;

CREATE OR REPLACE TRIGGER window_watch_new BEFORE INSERT ON billing_limitwindow
    FOR EACH ROW EXECUTE FUNCTION billing_watch_new_window();

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

CREATE OR REPLACE TRIGGER window_watch AFTER UPDATE OF used_mtok ON billing_limitwindow
    FOR EACH ROW WHEN (NEW.used_mtok >= NEW.watch_at_mtok)
    EXECUTE FUNCTION billing_watch_window();

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

CREATE OR REPLACE FUNCTION billing_watch_limits() RETURNS trigger
LANGUAGE plpgsql
SET search_path = public, pg_temp
AS $$
BEGIN
    PERFORM billing_watch_windows(NEW.org_id, NEW.account_id);
    RETURN NULL;
END $$;

CREATE OR REPLACE TRIGGER limits_watch
    AFTER UPDATE OF tokens_per_hour_mtok, tokens_per_day_mtok, tokens_per_month_mtok, tokens_total_mtok,
        plan_tokens_per_hour_mtok
    ON billing_limits
    FOR EACH ROW EXECUTE FUNCTION billing_watch_limits();

-- After an organization has changed its levels: look for the new ones from here on. Locks all its accounts, then its
-- limits, each in order of account.
CREATE OR REPLACE FUNCTION billing_watch_anew(p_org uuid) RETURNS void
LANGUAGE plpgsql
SET search_path = public, pg_temp
AS $$
BEGIN
    PERFORM 1 FROM billing_account a WHERE a.org_id = p_org ORDER BY a.id FOR NO KEY UPDATE;
    UPDATE billing_account a
    SET watch_at_mtok = billing_watch_at(a.mode = 'capped', a.watch_base_mtok, a.watch_level, billing_alert_levels(p_org))
    WHERE a.org_id = p_org AND a.kind IN ('team_pool', 'sub_token');
    PERFORM 1 FROM billing_limits l WHERE l.org_id = p_org ORDER BY l.account_id FOR NO KEY UPDATE;
    PERFORM billing_watch_windows(p_org, l.account_id) FROM billing_limits l WHERE l.org_id = p_org;
    INSERT INTO billing_crossing (
        id, org_id, created_at, due_at, grant_id, span, levels, period, used_mtok, whole_mtok, refused
    )
    SELECT tokensight_new_id(), p_org, now(), now(), live.grant_id, '', '{}', '', 0, 0, false
    FROM (SELECT DISTINCT l.grant_id FROM billing_lot l WHERE l.org_id = p_org AND NOT l.spent) live;
END $$;
