-- Delete up to p_rows rows of the audit log of an organization that is due; returns how many there were.
CREATE OR REPLACE FUNCTION tenants_erase_audit(p_org uuid, p_rows integer) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    v_done bigint;
    v_part bigint;
BEGIN
    IF NOT tenants_is_due(p_org) THEN
        RAISE EXCEPTION 'the grace of organization % is not over', p_org USING ERRCODE = 'restrict_violation';
    END IF;
    PERFORM set_config('tokensight.erasing', 'on', true);
    DELETE FROM tenants_auditevent WHERE id IN (SELECT id FROM tenants_auditevent WHERE org_id = p_org LIMIT p_rows);
    GET DIAGNOSTICS v_done = ROW_COUNT;
    DELETE FROM tenants_auditcheck WHERE id IN (SELECT id FROM tenants_auditcheck WHERE org_id = p_org LIMIT p_rows);
    GET DIAGNOSTICS v_part = ROW_COUNT;
    v_done := v_done + v_part;
    IF v_done = 0 THEN
        DELETE FROM tenants_auditchain WHERE org_id = p_org;
    END IF;
    PERFORM set_config('tokensight.erasing', '', true);
    RETURN v_done;
END $$;

REVOKE ALL ON FUNCTION tenants_erase_audit(uuid, integer) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION tenants_erase_audit(uuid, integer) TO @PLATFORM@;
