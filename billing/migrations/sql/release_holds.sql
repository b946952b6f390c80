-- Give back all that a batch of holds set aside: p_status says whether they were 'released' or have 'expired'.
--
-- Answers per hold (hold_id, outcome): released or expired; already_captured, already_released, already_expired
-- (nothing changed); unknown. Tokens of a grant that expired meanwhile go back too, and the next expiry run takes them.
--
-- What goes back leaves the windows of limits in which it was counted.
--
-- Locks all accounts involved once, in order of id, before it looks at any hold's status; last, their limits.
--
-- A batch is small and every row is found by its key. Left to itself the planner would scan the tables while they are
-- small, and a connection keeps its plans for hours while they grow.
CREATE OR REPLACE FUNCTION billing_release_holds(p_hold_ids uuid[], p_status text, p_now timestamptz)
RETURNS TABLE (hold_id uuid, outcome text)
LANGUAGE plpgsql
SET search_path = public, pg_temp
SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off
SET enable_hashjoin = off
SET enable_mergejoin = off
AS $$
#variable_conflict use_column
DECLARE
    v_accounts uuid[];
    v_released uuid[];
BEGIN
    IF p_status NOT IN ('released', 'expired') THEN
        RAISE EXCEPTION 'a hold is released or expired, not %', p_status USING ERRCODE = 'invalid_parameter_value';
    END IF;

    SELECT array_agg(involved.id) INTO v_accounts
    FROM (
        SELECT h.funding_id AS id FROM billing_hold h WHERE h.id = ANY (p_hold_ids)
        UNION SELECT unnest(h.path) FROM billing_hold h WHERE h.id = ANY (p_hold_ids)
    ) involved;

    PERFORM 1 FROM billing_account a WHERE a.id = ANY (v_accounts) ORDER BY a.id FOR NO KEY UPDATE;

    WITH released AS (
        UPDATE billing_hold h SET status = p_status, resolved_at = p_now
        WHERE h.id = ANY (p_hold_ids) AND h.status = 'held'
        RETURNING h.id, h.funding_id, h.path, h.amount_mtok, h.lots
    ),
    lot AS (
        UPDATE billing_lot l SET held_mtok = l.held_mtok - delta.mtok
        FROM (
            SELECT (pair ->> 0)::uuid AS lot_id, sum((pair ->> 1)::bigint) AS mtok
            FROM released CROSS JOIN LATERAL jsonb_array_elements(released.lots) AS pair
            GROUP BY 1
        ) delta
        WHERE l.id = delta.lot_id
    ),
    account AS (
        UPDATE billing_account a
        SET held_mtok = a.held_mtok - delta.held, drawn_mtok = a.drawn_mtok - delta.drawn
        FROM (
            SELECT change.id, sum(change.held) AS held, sum(change.drawn) AS drawn
            FROM (
                SELECT funding_id AS id, amount_mtok AS held, 0 AS drawn FROM released
                UNION ALL
                SELECT unnest(path), 0, amount_mtok FROM released
            ) change
            GROUP BY change.id
        ) delta
        WHERE a.id = delta.id
    )
    SELECT coalesce(array_agg(r.id), '{}') INTO v_released FROM released r;

    IF v_released <> '{}' THEN
        PERFORM billing_uncount_holds(v_released);
    END IF;

    RETURN QUERY
    SELECT asked.id,
           CASE
               WHEN h.id IS NULL THEN 'unknown'
               WHEN h.id = ANY (v_released) THEN p_status
               ELSE 'already_' || h.status
           END
    FROM (SELECT DISTINCT unnest(p_hold_ids) AS id) asked
    LEFT JOIN billing_hold h ON h.id = asked.id;
END $$;
