-- Take the names out of up to p_rows transfers and as many grants of an organization whose grace is over: who did it and
-- why. Amounts, kinds, times and what a payment is found by stay. Returns how many rows there were.
CREATE OR REPLACE FUNCTION billing_anonymise_ledger(p_org uuid, p_rows integer) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    v_done bigint;
    v_part bigint;
BEGIN
    IF NOT tenants_is_due(p_org) THEN
        RAISE EXCEPTION 'the grace of organization % is not over', p_org USING ERRCODE = 'restrict_violation';
    END IF;
    PERFORM set_config('tokensight.erasing', 'on', true);
    UPDATE billing_transfer SET actor = '', reason = ''
    WHERE id IN (SELECT id FROM billing_transfer WHERE org_id = p_org AND (actor <> '' OR reason <> '') LIMIT p_rows);
    GET DIAGNOSTICS v_done = ROW_COUNT;
    UPDATE billing_grant SET actor = '', reason = ''
    WHERE id IN (SELECT id FROM billing_grant WHERE org_id = p_org AND (actor <> '' OR reason <> '') LIMIT p_rows);
    GET DIAGNOSTICS v_part = ROW_COUNT;
    PERFORM set_config('tokensight.erasing', '', true);
    RETURN v_done + v_part;
END $$;

REVOKE ALL ON FUNCTION billing_anonymise_ledger(uuid, integer) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION billing_anonymise_ledger(uuid, integer) TO @PLATFORM@;
