-- What the database itself refuses, whoever asks.

-- A statement that adds entries adds all legs of their transfers: each sums to zero as soon as it is there.
--
-- Stricter than a check at the commit, and one look at a batch's entries instead of one for each of them.
CREATE OR REPLACE FUNCTION billing_refuse_unbalanced_statement() RETURNS trigger
LANGUAGE plpgsql
SET search_path = public, pg_temp
AS $$
DECLARE
    v_off record;
BEGIN
    SELECT transfer_id, sum(amount_mtok) AS mtok INTO v_off
    FROM added GROUP BY transfer_id HAVING sum(amount_mtok) <> 0 LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'transfer % is off by % mtok: its entries must sum to zero', v_off.transfer_id, v_off.mtok
            USING ERRCODE = 'check_violation', CONSTRAINT = 'transfer_sums_to_zero';
    END IF;
    RETURN NULL;
END $$;

CREATE OR REPLACE TRIGGER transfer_sums_to_zero AFTER INSERT ON billing_entry REFERENCING NEW TABLE AS added
    FOR EACH STATEMENT EXECUTE FUNCTION billing_refuse_unbalanced_statement();

-- Holds remember the way from an account to its funding, so that way must not change under them.
CREATE OR REPLACE FUNCTION billing_refuse_rehanging() RETURNS trigger
LANGUAGE plpgsql
SET search_path = public, pg_temp
AS $$
BEGIN
    RAISE EXCEPTION 'kind, mode and parent of account % never change', OLD.id USING ERRCODE = 'restrict_violation';
END $$;

CREATE OR REPLACE TRIGGER account_stays_where_it_hangs BEFORE UPDATE OF kind, mode, parent_id ON billing_account
    FOR EACH ROW
    WHEN (OLD.kind <> NEW.kind OR OLD.mode <> NEW.mode OR OLD.parent_id IS DISTINCT FROM NEW.parent_id)
    EXECUTE FUNCTION billing_refuse_rehanging();

-- As they never change, it is enough to look at them once.
CREATE OR REPLACE FUNCTION billing_refuse_malformed_account() RETURNS trigger
LANGUAGE plpgsql
SET search_path = public, pg_temp
AS $$
BEGIN
    RAISE EXCEPTION 'an account of kind % and mode % cannot stand there (%)', NEW.kind, NEW.mode, TG_NAME
        USING ERRCODE = 'check_violation', CONSTRAINT = TG_NAME;
END $$;

CREATE OR REPLACE TRIGGER account_hangs_below_the_wallet BEFORE INSERT ON billing_account
    FOR EACH ROW
    WHEN (NOT CASE
        WHEN NEW.kind IN ('team_pool', 'sub_token') THEN
            NEW.parent_id IS NOT NULL
            AND (NEW.mode = 'capped' OR NEW.mode = 'ring_fenced' AND NEW.cap_mtok IS NULL)
        WHEN NEW.kind IN ('org_wallet', 'issued', 'consumed', 'expired', 'refunded') THEN
            NEW.parent_id IS NULL AND NEW.mode = 'ring_fenced' AND NEW.cap_mtok IS NULL
        ELSE false
    END)
    EXECUTE FUNCTION billing_refuse_malformed_account();

-- An account never hangs anywhere else, so the team whose pool it is stays where it is as well. It is refused here
-- because teams know nothing of billing; opening a pool locks the team first, so the two cannot pass each other.
CREATE OR REPLACE FUNCTION billing_refuse_team_move() RETURNS trigger
LANGUAGE plpgsql
SET search_path = public, pg_temp
AS $$
BEGIN
    IF EXISTS (SELECT FROM billing_account WHERE org_id = OLD.org_id AND team_id = OLD.id AND kind = 'team_pool') THEN
        RAISE EXCEPTION 'team % has a pool of Tokens: it cannot move', OLD.id
            USING ERRCODE = 'restrict_violation', CONSTRAINT = 'team_with_pool_stays';
    END IF;
    RETURN NEW;
END $$;

CREATE OR REPLACE TRIGGER team_with_pool_stays BEFORE UPDATE OF parent_id ON tenants_team
    FOR EACH ROW WHEN (OLD.parent_id IS DISTINCT FROM NEW.parent_id)
    EXECUTE FUNCTION billing_refuse_team_move();
