-- Append-only tables refuse every change, also the owner's, but for what an erasure does: a function that belongs to the
-- table's owner and has said so for its transaction. No other role can become the owner, so none can use the setting.
CREATE OR REPLACE FUNCTION tokensight_refuse_change() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    IF TG_OP <> 'TRUNCATE' AND current_setting('tokensight.erasing', true) = 'on'
        AND current_user = (SELECT pg_get_userbyid(relowner) FROM pg_class WHERE oid = TG_RELID) THEN
        RETURN NULL;
    END IF;
    RAISE EXCEPTION '% is append-only: % is refused', TG_TABLE_NAME, TG_OP USING ERRCODE = 'restrict_violation';
END $$;

-- Whether an organization was to be deleted and its grace is over, by the database's own clock.
CREATE FUNCTION tenants_is_due(p_org uuid) RETURNS boolean LANGUAGE sql STABLE SET search_path = pg_catalog, public, pg_temp AS $$
    SELECT EXISTS (SELECT FROM tenants_organization WHERE id = p_org AND deletion_due_at <= now())
$$;

-- Delete up to p_rows rows of the audit log of an organization that is due; returns how many there were.
CREATE FUNCTION tenants_erase_audit(p_org uuid, p_rows integer) RETURNS bigint
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

-- Since when an organization refuses calls: it is being deleted, or was. For credentials, which know no scope yet.
CREATE FUNCTION tenants_organization_closing(p_org uuid) RETURNS timestamptz
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
    SELECT deletion_requested_at FROM tenants_organization WHERE id = p_org
$$;
