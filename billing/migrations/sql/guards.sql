-- What the database itself refuses, whoever asks.

-- Deferred to the commit, when the transaction's scope may be closed already: hence the owner's eyes (SECURITY DEFINER).
CREATE FUNCTION billing_refuse_unbalanced() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = public, pg_temp
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

-- Room for updates in the same page: these rows are updated with every call.
ALTER TABLE billing_account SET (fillfactor = 50);
ALTER TABLE billing_lot SET (fillfactor = 50);
ALTER TABLE billing_dailyburn SET (fillfactor = 70);
