-- Burn what a batch of holds set aside; holds of many organizations at once, under the platform role.
--
-- p_items is [{"hold_id", "mtok", "transfer_id"}, ...]. Each captured hold becomes one transfer with the given id, from
-- its funding account to the organization's consumed account; what it held beyond `mtok` goes back to its lots and
-- caps, and leaves the windows of limits in which it was counted.
--
-- Answers per item (hold_id, outcome, captured_mtok, available_mtok): captured; already_captured, already_released,
-- already_expired (nothing changed); refused (mtok below 1 or above the hold, which stays open); unknown. available_mtok
-- is what the account that was asked can still spend.
--
-- Locks all accounts involved once, in order of id, before it looks at any hold's status; last, the limits of what goes
-- back.
--
-- A batch is small and every row is found by its key. Left to itself the planner would scan the tables while they are
-- small, and a connection keeps its plans for hours while they grow.
CREATE OR REPLACE FUNCTION billing_capture_holds(p_items jsonb, p_now timestamptz)
RETURNS TABLE (hold_id uuid, outcome text, captured_mtok bigint, available_mtok bigint)
LANGUAGE plpgsql
SET search_path = public, pg_temp
SET enable_seqscan = off
SET enable_hashjoin = off
SET enable_mergejoin = off
SET plan_cache_mode = force_generic_plan
AS $$
#variable_conflict use_column
DECLARE
    v_accounts uuid[];
    v_captured uuid[];
    v_less uuid[];
BEGIN
    WITH hold AS (
        SELECT h.org_id, h.funding_id, h.path
        FROM jsonb_to_recordset(p_items) AS item (hold_id uuid)
        JOIN billing_hold h ON h.id = item.hold_id
    )
    SELECT array_agg(involved.id) INTO v_accounts
    FROM (
        SELECT funding_id AS id FROM hold
        UNION SELECT unnest(path) FROM hold
        UNION SELECT a.id FROM billing_account a
              WHERE a.kind = 'consumed' AND a.org_id IN (SELECT org_id FROM hold)
    ) involved;

    PERFORM 1 FROM billing_account a WHERE a.id = ANY (v_accounts) ORDER BY a.id FOR NO KEY UPDATE;

    WITH item AS (
        SELECT DISTINCT ON (i.hold_id) i.hold_id, i.mtok, i.transfer_id
        FROM jsonb_to_recordset(p_items) AS i (hold_id uuid, mtok bigint, transfer_id uuid)
    ),
    captured AS (
        UPDATE billing_hold h
        SET status = 'captured', captured_mtok = item.mtok, resolved_at = p_now, transfer_id = item.transfer_id
        FROM item
        WHERE h.id = item.hold_id AND h.status = 'held' AND item.mtok BETWEEN 1 AND h.amount_mtok
        RETURNING h.id, h.org_id, h.account_id, h.funding_id, h.path, h.amount_mtok, h.captured_mtok, h.lots,
                  h.owner_id, h.transfer_id
    ),
    share AS (  -- the capture burns the hold's lots in the order in which it took them
        SELECT c.org_id, c.funding_id, c.transfer_id, (c.lots -> 0 ->> 0)::uuid AS lot_id, c.amount_mtok AS held,
               c.captured_mtok AS burned
        FROM captured c
        WHERE jsonb_array_length(c.lots) = 1  -- nearly all, and a window for each would take as long as all the rest
        UNION ALL
        SELECT c.org_id, c.funding_id, c.transfer_id, part.lot_id, part.mtok,
               greatest(0, least(part.mtok, c.captured_mtok - part.before))
        FROM captured c
        CROSS JOIN LATERAL (
            SELECT (pair ->> 0)::uuid AS lot_id, (pair ->> 1)::bigint AS mtok,
                   sum((pair ->> 1)::bigint) OVER (ORDER BY position) - (pair ->> 1)::bigint AS before
            FROM jsonb_array_elements(c.lots) WITH ORDINALITY AS element (pair, position)
        ) part
        WHERE jsonb_array_length(c.lots) > 1
    ),
    lot AS (
        UPDATE billing_lot l
        SET posted_mtok = l.posted_mtok - delta.burned, held_mtok = l.held_mtok - delta.held
        FROM (SELECT lot_id, sum(burned) AS burned, sum(held) AS held FROM share GROUP BY lot_id) delta
        WHERE l.id = delta.lot_id
    ),
    transfer AS (
        INSERT INTO billing_transfer (id, org_id, created_at, kind, path, reference, reason, actor)
        SELECT c.transfer_id, c.org_id, p_now, 'capture', '{}', c.owner_id::text, '', '' FROM captured c
    ),
    consumed AS (
        SELECT a.org_id, a.id FROM billing_account a
        WHERE a.kind = 'consumed' AND a.id = ANY (v_accounts)
    ),
    entry AS (
        INSERT INTO billing_entry (id, org_id, created_at, transfer_id, account_id, grant_id, amount_mtok)
        SELECT tokensight_new_id(), s.org_id, p_now, s.transfer_id, leg.account_id, l.grant_id, leg.amount
        FROM share s
        JOIN billing_lot l ON l.id = s.lot_id
        JOIN consumed ON consumed.org_id = s.org_id
        CROSS JOIN LATERAL (VALUES (s.funding_id, -s.burned), (consumed.id, s.burned)) AS leg (account_id, amount)
        WHERE s.burned > 0
    ),
    account AS (
        UPDATE billing_account a
        SET posted_mtok = a.posted_mtok + delta.posted,
            held_mtok = a.held_mtok + delta.held,
            drawn_mtok = a.drawn_mtok + delta.drawn
        FROM (
            SELECT change.id, sum(change.posted) AS posted, sum(change.held) AS held, sum(change.drawn) AS drawn
            FROM (
                SELECT funding_id AS id, -captured_mtok AS posted, -amount_mtok AS held, 0 AS drawn FROM captured
                UNION ALL
                SELECT unnest(path), 0, 0, captured_mtok - amount_mtok FROM captured
                UNION ALL
                SELECT consumed.id, c.captured_mtok, 0, 0 FROM captured c JOIN consumed ON consumed.org_id = c.org_id
            ) change
            GROUP BY change.id
        ) delta
        WHERE a.id = delta.id
    ),
    burn AS (
        INSERT INTO billing_dailyburn AS d (id, org_id, created_at, account_id, day, captured_mtok, captures)
        SELECT tokensight_new_id(), c.org_id, p_now, c.account_id, (p_now AT TIME ZONE 'UTC')::date,
               sum(c.captured_mtok), count(*)
        FROM captured c
        GROUP BY c.org_id, c.account_id
        ON CONFLICT (org_id, day, account_id) DO UPDATE
        SET captured_mtok = d.captured_mtok + excluded.captured_mtok, captures = d.captures + excluded.captures
    )
    SELECT coalesce(array_agg(c.id), '{}'), array_agg(c.id) FILTER (WHERE c.captured_mtok < c.amount_mtok)
    INTO v_captured, v_less
    FROM captured c;

    IF v_less IS NOT NULL THEN
        PERFORM billing_uncount_holds(v_less);
    END IF;

    RETURN QUERY
    WITH item AS (
        SELECT DISTINCT i.hold_id FROM jsonb_to_recordset(p_items) AS i (hold_id uuid)
    ),
    found AS (
        SELECT item.hold_id, h.org_id, h.account_id, h.funding_id, h.path, h.status, h.captured_mtok
        FROM item LEFT JOIN billing_hold h ON h.id = item.hold_id
    ),
    room AS (
        SELECT asked.account_id, billing_available(asked.org_id, asked.funding_id, asked.path, p_now) AS available
        FROM (SELECT DISTINCT ON (account_id) account_id, org_id, funding_id, path
              FROM found WHERE account_id IS NOT NULL) asked
    )
    SELECT found.hold_id,
           CASE
               WHEN found.status IS NULL THEN 'unknown'
               WHEN found.hold_id = ANY (v_captured) THEN 'captured'
               WHEN found.status = 'held' THEN 'refused'
               ELSE 'already_' || found.status
           END,
           coalesce(found.captured_mtok, 0),
           coalesce(room.available, 0)
    FROM found LEFT JOIN room ON room.account_id = found.account_id;
END $$;
