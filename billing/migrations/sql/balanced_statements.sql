-- A statement that adds entries adds all legs of their transfers: each sums to zero as soon as it is there.
--
-- Stricter than a check at the commit, and one look at a batch's entries instead of one for each of them.
CREATE FUNCTION billing_refuse_unbalanced_statement() RETURNS trigger
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

DROP TRIGGER transfer_sums_to_zero ON billing_entry;
DROP FUNCTION billing_refuse_unbalanced();
CREATE TRIGGER transfer_sums_to_zero AFTER INSERT ON billing_entry REFERENCING NEW TABLE AS added
    FOR EACH STATEMENT EXECUTE FUNCTION billing_refuse_unbalanced_statement();
