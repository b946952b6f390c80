-- Lock all accounts that capturing and releasing these holds involves, in order of id, for a transaction that does both:
-- one lock for each of the two could meet another transaction's in a circle.
CREATE FUNCTION billing_lock_for_resolving(p_hold_ids uuid[]) RETURNS void
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
