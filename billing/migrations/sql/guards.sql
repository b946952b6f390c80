-- What the database itself refuses, whoever asks.

-- Deferred to the commit, when the transaction's scope may be closed already: hence the owner's eyes (SECURITY DEFINER).
-- By index always: a connection keeps its plan while the table grows from nothing.
CREATE FUNCTION billing_refuse_unbalanced() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = public, pg_temp
SET enable_seqscan = off
AS $$
DECLARE
    v_sum numeric;
BEGIN
    SELECT sum(amount_mtok) INTO v_sum FROM billing_entry WHERE transfer_id = NEW.transfer_id;
    IF v_sum <> 0 THEN
        RAISE EXCEPTION 'transfer % is off by % mtok: its entries must sum to zero', NEW.transfer_id, v_sum
            USING ERRCODE = 'check_violation', CONSTRAINT = 'transfer_sums_to_zero';
    END IF;
    RETURN NULL;
END $$;

CREATE CONSTRAINT TRIGGER transfer_sums_to_zero AFTER INSERT ON billing_entry
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION billing_refuse_unbalanced();

-- Holds remember the way from an account to its funding, so that way must not change under them.
CREATE FUNCTION billing_refuse_rehanging() RETURNS trigger
LANGUAGE plpgsql
SET search_path = public, pg_temp
AS $$
BEGIN
    RAISE EXCEPTION 'kind, mode and parent of account % never change', OLD.id USING ERRCODE = 'restrict_violation';
END $$;

CREATE TRIGGER account_stays_where_it_hangs BEFORE UPDATE OF kind, mode, parent_id ON billing_account
    FOR EACH ROW
    WHEN (OLD.kind <> NEW.kind OR OLD.mode <> NEW.mode OR OLD.parent_id IS DISTINCT FROM NEW.parent_id)
    EXECUTE FUNCTION billing_refuse_rehanging();

-- As they never change, it is enough to look at them once.
CREATE FUNCTION billing_refuse_malformed_account() RETURNS trigger
LANGUAGE plpgsql
SET search_path = public, pg_temp
AS $$
BEGIN
    RAISE EXCEPTION 'an account of kind % and mode % cannot stand there (%)', NEW.kind, NEW.mode, TG_NAME
        USING ERRCODE = 'check_violation', CONSTRAINT = TG_NAME;
END $$;

CREATE TRIGGER account_hangs_below_the_wallet BEFORE INSERT ON billing_account
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

ALTER TABLE billing_hold ADD CONSTRAINT hold_resolves_once CHECK (
    (status = 'held') = (resolved_at IS NULL)
    AND (status = 'captured') = (transfer_id IS NOT NULL)
    AND (status = 'captured') = (captured_mtok > 0)
    AND captured_mtok BETWEEN 0 AND amount_mtok
);

-- Room for updates in the same page: these rows are updated with every call.
ALTER TABLE billing_account SET (fillfactor = 50);
ALTER TABLE billing_lot SET (fillfactor = 50);
ALTER TABLE billing_dailyburn SET (fillfactor = 70);
