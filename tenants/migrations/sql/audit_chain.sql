-- What of an event its hash covers, as the text of a JSON array. docs/audit.md describes it, so that anybody can
-- recompute it from an export; it never changes for events that exist (a new form would begin with another number).
CREATE OR REPLACE FUNCTION tenants_audit_canonical(p_event tenants_auditevent, p_sequence bigint, p_previous text)
RETURNS text LANGUAGE sql STABLE SET search_path = pg_catalog, public, pg_temp AS $$
    SELECT jsonb_build_array(
        1, p_sequence, p_previous, p_event.org_id, p_event.id,
        to_char(p_event.created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
        p_event.actor_kind, p_event.actor_id, p_event.actor_name, p_event.action, p_event.target_kind, p_event.target_id,
        p_event.before, p_event.after, host(p_event.ip), p_event.user_agent, p_event.session, p_event.request_id,
        p_event.reason)::text
$$;

CREATE OR REPLACE FUNCTION tenants_audit_hash(p_event tenants_auditevent, p_sequence bigint, p_previous text)
RETURNS text LANGUAGE sql STABLE SET search_path = pg_catalog, public, pg_temp AS $$
    SELECT encode(sha256(convert_to(tenants_audit_canonical(p_event, p_sequence, p_previous), 'UTF8')), 'hex')
$$;

-- Seals at most p_limit of an organization's unsealed events into its chain, and returns how many. The chain's row is
-- the only lock that it waits for, and it is waited for first: whoever recorded the events has committed, so this can
-- deadlock with nothing. As the owner's function it may fill the seal, which the callers' roles may not.
CREATE OR REPLACE FUNCTION tenants_seal_audit(p_org uuid, p_limit integer, p_now timestamptz)
RETURNS integer LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    v_chain tenants_auditchain;
    v_event tenants_auditevent;
    v_hash text;
    v_sealed integer := 0;
BEGIN
    INSERT INTO tenants_auditchain (id, org_id, created_at, sequence, hash)
        VALUES (gen_random_uuid(), p_org, p_now, 0, '') ON CONFLICT (org_id) DO NOTHING;
    SELECT * INTO STRICT v_chain FROM tenants_auditchain WHERE org_id = p_org FOR UPDATE;
    FOR v_event IN
        SELECT * FROM tenants_auditevent WHERE org_id = p_org AND sequence IS NULL ORDER BY id LIMIT p_limit
    LOOP
        v_hash := tenants_audit_hash(v_event, v_chain.sequence + 1, v_chain.hash);
        UPDATE tenants_auditevent
            SET sequence = v_chain.sequence + 1, previous_hash = v_chain.hash, hash = v_hash
            WHERE org_id = p_org AND id = v_event.id;
        v_chain.sequence := v_chain.sequence + 1;
        v_chain.hash := v_hash;
        v_sealed := v_sealed + 1;
    END LOOP;
    IF v_sealed > 0 THEN
        UPDATE tenants_auditchain SET sequence = v_chain.sequence, hash = v_chain.hash, sealed_at = p_now
            WHERE org_id = p_org;
    END IF;
    RETURN v_sealed;
END $$;

-- An event comes without a seal, and gets one once; nothing else of it ever changes.
CREATE OR REPLACE FUNCTION tenants_audit_guard() RETURNS trigger LANGUAGE plpgsql
SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        IF NEW.sequence IS NULL AND NEW.previous_hash = '' AND NEW.hash = '' THEN
            RETURN NEW;
        END IF;
        RAISE EXCEPTION 'an event is sealed by tenants_seal_audit alone' USING ERRCODE = 'restrict_violation';
    END IF;
    IF OLD.sequence IS NULL AND NEW.sequence IS NOT NULL AND
       to_jsonb(NEW) - '{sequence,previous_hash,hash}'::text[] = to_jsonb(OLD) - '{sequence,previous_hash,hash}'::text[]
    THEN
        RETURN NEW;
    END IF;
    RAISE EXCEPTION '% is append-only: % is refused', TG_TABLE_NAME, TG_OP USING ERRCODE = 'restrict_violation';
END $$;

-- The owner's function seals, and no role may write a chain.
CREATE OR REPLACE TRIGGER append_only BEFORE DELETE OR TRUNCATE ON tenants_auditevent
    FOR EACH STATEMENT EXECUTE FUNCTION tokensight_refuse_change();
CREATE OR REPLACE TRIGGER sealed_once BEFORE INSERT OR UPDATE ON tenants_auditevent
    FOR EACH ROW EXECUTE FUNCTION tenants_audit_guard();
REVOKE UPDATE, DELETE ON tenants_auditevent, tenants_auditchain FROM @APP@, @PLATFORM@;
REVOKE ALL ON FUNCTION tenants_seal_audit(uuid, integer, timestamptz) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION tenants_seal_audit(uuid, integer, timestamptz) TO @PLATFORM@;
