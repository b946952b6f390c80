-- Lock all that holds of these accounts will lock, in the one order that every hold keeps: accounts by id, then limits by
-- account. A transaction that places several holds calls this first: one after the other they would take accounts and
-- limits in turns, against others that do the same.
CREATE FUNCTION billing_lock_for_holds(p_org uuid, p_accounts uuid[]) RETURNS void
LANGUAGE plpgsql
SET search_path = public, pg_temp
SET enable_seqscan = off
SET plan_cache_mode = force_generic_plan
AS $$
DECLARE
    v_limited uuid[];
BEGIN
    PERFORM set_config('tokensight.org_id', p_org::text, true);

    PERFORM 1 FROM billing_account a
    WHERE a.org_id = p_org AND a.id IN (
        SELECT unnest(way.path || way.funding)
        FROM unnest(p_accounts) AS asked (id)
        CROSS JOIN LATERAL billing_account_path(p_org, asked.id) AS way
    )
    ORDER BY a.id
    FOR NO KEY UPDATE;

    SELECT array_agg(DISTINCT limited.id) INTO v_limited
    FROM billing_account a
    CROSS JOIN LATERAL unnest(a.limited_by) AS limited (id)
    WHERE a.org_id = p_org AND a.id = ANY (p_accounts);

    IF v_limited IS NOT NULL THEN
        PERFORM 1 FROM billing_limits l
        WHERE l.org_id = p_org AND l.account_id = ANY (v_limited)
        ORDER BY l.account_id
        FOR NO KEY UPDATE;
    END IF;
END $$;
