-- From an account up to the ring-fenced account that pays for it, over the capped accounts between (path, the asked
-- account first). A ring-fenced account pays for itself. No funding = no such account, or not one that can spend.
CREATE OR REPLACE FUNCTION billing_account_path(p_org uuid, p_account uuid, OUT funding uuid, OUT path uuid[])
LANGUAGE sql STABLE
SET search_path = public, pg_temp
AS $$
    WITH RECURSIVE walk AS (
        SELECT a.id, a.parent_id, a.mode, 1 AS depth
        FROM billing_account a
        WHERE a.id = p_account AND a.org_id = p_org AND a.kind IN ('org_wallet', 'team_pool', 'sub_token')
        UNION ALL
        SELECT a.id, a.parent_id, a.mode, walk.depth + 1
        FROM walk
        JOIN billing_account a ON a.id = walk.parent_id AND a.org_id = p_org
        WHERE walk.mode = 'capped'
    )
    SELECT (array_agg(id) FILTER (WHERE mode = 'ring_fenced'))[1],
           coalesce(array_agg(id ORDER BY depth) FILTER (WHERE mode = 'capped'), '{}')
    FROM walk
$$;

-- What can still be held: unexpired lots of the funding account that are not frozen, or less where a cap on the way
-- leaves less.
CREATE OR REPLACE FUNCTION billing_available(p_org uuid, p_funding uuid, p_path uuid[], p_now timestamptz) RETURNS bigint
LANGUAGE sql STABLE
SET search_path = public, pg_temp
AS $$
    SELECT least(
        coalesce((
            SELECT sum(l.posted_mtok - l.held_mtok)
            FROM billing_lot l
            WHERE l.org_id = p_org AND l.account_id = p_funding AND NOT l.spent AND NOT l.frozen
              AND (l.expires_at IS NULL OR l.expires_at > p_now)
        ), 0),
        (SELECT min(a.cap_mtok - a.drawn_mtok) FROM billing_account a WHERE a.org_id = p_org AND a.id = ANY (p_path))
    )::bigint
$$;
