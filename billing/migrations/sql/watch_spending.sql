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
