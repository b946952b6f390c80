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
