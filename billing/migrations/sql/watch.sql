-- What sees, in the money's own transaction, that a level of an alert is reached. Triggers with WHEN: a spending that
-- reaches nothing costs a comparison.

CREATE OR REPLACE FUNCTION billing_alert_levels(p_org uuid) RETURNS smallint[]
LANGUAGE sql STABLE
SET search_path = public, pg_temp
AS $$
    SELECT coalesce((SELECT s.levels FROM billing_alertsettings s WHERE s.org_id = p_org), '{80,95,100}')
$$;

-- The posted (capped: drawn) amount at which the first of p_levels above p_level is reached, of a whole of p_whole mtok.
CREATE OR REPLACE FUNCTION billing_watch_at(p_capped boolean, p_whole bigint, p_level smallint, p_levels smallint[])
RETURNS bigint
LANGUAGE sql IMMUTABLE
AS $$
    SELECT CASE WHEN p_capped THEN share ELSE p_whole - share END
    FROM (
        SELECT (p_whole * min(level) + 99) / 100 AS share FROM unnest(p_levels) AS level WHERE level > p_level
    ) next
    WHERE p_whole > 0
$$;

-- Runs when Tokens arrive at an account or move on from it, when its cap changes, and when it reaches its next level.
--
-- The levels are shares of watch_base: what the account had when its period began, and what came since; or its cap.
-- What moves on (an allocation, a reclaim, an expiry: posted falls while nothing held is resolved) was not used and
-- leaves the base. A new period, in which every level counts again, begins when what came since the period began is at
-- least a tenth of what it began with. Of the wallet only the end counts: grants have levels of their own.
--
-- Who takes all that is free away from a pool or a sub-token, or lowers its quota to what was drawn, knows that they did
-- (a project's end does it to all of them): that raises nothing. A call that finds nothing there is told of.
CREATE OR REPLACE FUNCTION billing_watch_account() RETURNS trigger
LANGUAGE plpgsql
SET search_path = public, pg_temp
AS $$
DECLARE
    v_capped boolean := NEW.mode = 'capped';
    v_levels smallint[] := CASE WHEN NEW.kind = 'org_wallet' THEN '{100}' ELSE billing_alert_levels(NEW.org_id) END;
    v_emptied boolean := TG_OP = 'UPDATE' AND NEW.kind <> 'org_wallet' AND CASE
        WHEN v_capped THEN
            NEW.drawn_mtok = OLD.drawn_mtok AND NEW.cap_mtok <= NEW.drawn_mtok AND NEW.cap_mtok IS DISTINCT FROM OLD.cap_mtok
        ELSE NEW.held_mtok = OLD.held_mtok AND NEW.posted_mtok < OLD.posted_mtok AND NEW.posted_mtok <= NEW.held_mtok
    END;
    v_used bigint;
    v_passed smallint[];
BEGIN
    IF TG_OP = 'INSERT' OR v_capped THEN
        NEW.watch_base_mtok := coalesce(NEW.cap_mtok, 0);
    ELSIF NEW.posted_mtok > OLD.posted_mtok THEN
        NEW.watch_base_mtok := OLD.watch_base_mtok + NEW.posted_mtok - OLD.posted_mtok;
    ELSIF NEW.posted_mtok < OLD.posted_mtok AND NEW.held_mtok = OLD.held_mtok THEN
        NEW.watch_base_mtok := greatest(0, OLD.watch_base_mtok + NEW.posted_mtok - OLD.posted_mtok);
    END IF;
    IF TG_OP = 'INSERT'
        OR NEW.watch_base_mtok > OLD.watch_base_mtok
        AND (NEW.watch_base_mtok - NEW.watch_start_mtok) * 10 >= NEW.watch_start_mtok
    THEN
        IF NOT v_capped THEN
            NEW.watch_base_mtok := NEW.posted_mtok;
        END IF;
        NEW.watch_start_mtok := NEW.watch_base_mtok;
        NEW.watch_period := NEW.watch_period + 1;
        NEW.watch_level := 0;
    END IF;
    NEW.watch_start_mtok := least(NEW.watch_start_mtok, NEW.watch_base_mtok);

    v_used := CASE WHEN v_capped THEN NEW.drawn_mtok ELSE NEW.watch_base_mtok - NEW.posted_mtok END;
    IF NEW.watch_base_mtok > 0 AND NOT coalesce(v_emptied, false) THEN
        SELECT array_agg(level ORDER BY level) INTO v_passed
        FROM unnest(v_levels) AS level
        WHERE level > NEW.watch_level AND v_used * 100 >= NEW.watch_base_mtok * level;
    END IF;
    IF v_passed IS NOT NULL THEN
        INSERT INTO billing_crossing (
            id, org_id, created_at, due_at, account_id, span, levels, period, used_mtok, whole_mtok
        ) VALUES (
            tokensight_new_id(), NEW.org_id, now(), now(), NEW.id, '', v_passed, NEW.watch_period::text, v_used,
            NEW.watch_base_mtok
        );
        NEW.watch_level := v_passed[cardinality(v_passed)];
    END IF;
    NEW.watch_at_mtok := billing_watch_at(v_capped, NEW.watch_base_mtok, NEW.watch_level, v_levels);
    RETURN NEW;
END $$;

CREATE OR REPLACE TRIGGER account_watch_new BEFORE INSERT ON billing_account
    FOR EACH ROW WHEN (NEW.cap_mtok IS NOT NULL)
    EXECUTE FUNCTION billing_watch_account();

CREATE OR REPLACE TRIGGER account_watch BEFORE UPDATE OF posted_mtok, drawn_mtok, cap_mtok ON billing_account
    FOR EACH ROW
    WHEN (
        NEW.kind IN ('org_wallet', 'team_pool', 'sub_token')
        AND (
            NEW.posted_mtok > OLD.posted_mtok
            OR NEW.posted_mtok < OLD.posted_mtok AND NEW.held_mtok = OLD.held_mtok
            OR NEW.cap_mtok IS DISTINCT FROM OLD.cap_mtok
            OR NEW.mode = 'ring_fenced' AND NEW.posted_mtok <= NEW.watch_at_mtok
            OR NEW.mode = 'capped' AND NEW.drawn_mtok >= NEW.watch_at_mtok
        )
    )
    EXECUTE FUNCTION billing_watch_account();

-- A grant's Tokens lie in many lots, and no row knows their sum. Each lot has a mark instead (watch_below), and the
-- marks of a grant's lots add up to more than what is left at its next level: while no lot is below its mark, the level
-- is not reached. When one falls below, the task adds up and marks anew. A new grant is marked that way first.
CREATE OR REPLACE FUNCTION billing_weigh_grant() RETURNS trigger
LANGUAGE plpgsql
SET search_path = public, pg_temp
AS $$
BEGIN
    INSERT INTO billing_crossing (
        id, org_id, created_at, due_at, grant_id, span, levels, period, used_mtok, whole_mtok
    ) VALUES (
        tokensight_new_id(), NEW.org_id, now(), now(),
        CASE TG_TABLE_NAME WHEN 'billing_grant' THEN NEW.id ELSE (to_jsonb(NEW) ->> 'grant_id')::uuid END,
        '', '{}', '', 0, 0
    );
    RETURN NULL;
END $$;

CREATE OR REPLACE TRIGGER grant_watch AFTER INSERT ON billing_grant
    FOR EACH ROW EXECUTE FUNCTION billing_weigh_grant();

CREATE OR REPLACE TRIGGER lot_watch AFTER UPDATE OF posted_mtok ON billing_lot
    FOR EACH ROW
    WHEN (NEW.posted_mtok < NEW.watch_below_mtok AND OLD.posted_mtok >= OLD.watch_below_mtok)
    EXECUTE FUNCTION billing_weigh_grant();
