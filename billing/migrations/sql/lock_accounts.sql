-- Lock all that holds of these accounts will lock, in the one order that every hold keeps: accounts by id, then limits by
-- account. A transaction that places several holds calls this first: one after the other they would take accounts and
-- limits in turns, against others that do the same.
CREATE OR REPLACE FUNCTION billing_lock_for_holds(p_org uuid, p_accounts uuid[]) RETURNS void
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

-- Lock all accounts that capturing and releasing these holds involves, in order of id, for a transaction that does both:
-- one lock for each of the two could meet another transaction's in a circle.
CREATE OR REPLACE FUNCTION billing_lock_for_resolving(p_hold_ids uuid[]) RETURNS void
LANGUAGE plpgsql
SET search_path = public, pg_temp
SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off
AS $$
BEGIN
    PERFORM FROM billing_account
    WHERE id IN (
        SELECT h.funding_id FROM billing_hold h WHERE h.id = ANY (p_hold_ids)
        UNION SELECT unnest(h.path) FROM billing_hold h WHERE h.id = ANY (p_hold_ids)
        UNION SELECT sink.id FROM billing_account sink JOIN billing_hold h ON h.org_id = sink.org_id
              WHERE h.id = ANY (p_hold_ids) AND sink.kind = 'consumed'
    )
    ORDER BY id FOR NO KEY UPDATE;
END $$;
