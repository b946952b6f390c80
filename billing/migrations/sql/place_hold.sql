-- Set p_amount mtok of an account aside for p_owner until p_deadline.
--
-- Answers (outcome, what the account can still spend): held; duplicate (p_key has a hold already, nothing changed);
-- or, with nothing changed either: quota_exceeded (a cap on the way, or a limit of a day, a month or in all, is full),
-- hourly_limit_exceeded, insufficient_tokens, debt_outstanding (the organization owes Tokens), account_closed,
-- account_expired, account_unknown. `refusal` then says what was in the way: {"limit", "level", "account"}, for a limit
-- of a period as billing_check_limits says, and for a debt {"limit": "debt", "owed_mtok", ...} and the wallet.
--
-- Locks the account, or all capped accounts on its way and the one that pays, once and in order of id. That lock covers
-- the lots and holds of the account too, so these are read after it and need none of their own. Then the limits that
-- bind the account, if any do, in order of account.
--
-- By index always (enable_seqscan): a connection keeps its plans while the tables grow from nothing.
CREATE OR REPLACE FUNCTION billing_place_hold(
    p_org uuid, p_account uuid, p_hold uuid, p_amount bigint, p_key text, p_owner uuid, p_deadline timestamptz,
    p_now timestamptz
) RETURNS TABLE (outcome text, available_mtok bigint, refusal jsonb)
LANGUAGE plpgsql
SET search_path = public, pg_temp
SET enable_seqscan = off
SET plan_cache_mode = force_generic_plan
AS $$
#variable_conflict use_column
DECLARE
    v_funding uuid := p_account;
    v_path uuid[] := '{}';
    v_closed boolean;
    v_expired boolean;
    v_room bigint;
    v_free bigint := 0;
    v_missing bigint := p_amount;
    v_take bigint;
    v_lot record;
    v_lot_ids uuid[] := '{}';
    v_takes bigint[] := '{}';
    v_lots jsonb := '[]';
    v_limited_by uuid[];
    v_windows uuid[];
    v_refusal jsonb;
    v_owed bigint;
BEGIN
    PERFORM set_config('tokensight.org_id', p_org::text, true);

    SELECT a.closed_at IS NOT NULL, a.expires_at <= p_now, a.limited_by
    INTO v_closed, v_expired, v_limited_by
    FROM billing_account a
    WHERE a.id = p_account AND a.org_id = p_org AND a.mode = 'ring_fenced'
      AND a.kind IN ('org_wallet', 'team_pool', 'sub_token')
    FOR NO KEY UPDATE;

    IF NOT FOUND THEN
        SELECT way.funding, way.path INTO v_funding, v_path FROM billing_account_path(p_org, p_account) way;
        IF v_funding IS NULL THEN
            RETURN QUERY SELECT 'account_unknown', 0::bigint, NULL::jsonb;
            RETURN;
        END IF;
        SELECT bool_or(locked.closed_at IS NOT NULL), bool_or(locked.expires_at <= p_now),
               min(locked.cap_mtok - locked.drawn_mtok),
               max(locked.limited_by) FILTER (WHERE locked.id = p_account)
        INTO v_closed, v_expired, v_room, v_limited_by
        FROM (
            SELECT * FROM billing_account a
            WHERE a.org_id = p_org AND a.id = ANY (v_path || v_funding)
            ORDER BY a.id
            FOR NO KEY UPDATE
        ) locked;
    END IF;

    FOR v_lot IN
        SELECT l.id, l.posted_mtok - l.held_mtok AS free
        FROM billing_lot l
        WHERE l.org_id = p_org AND l.account_id = v_funding AND NOT l.spent AND NOT l.frozen
          AND (l.expires_at IS NULL OR l.expires_at > p_now)
        ORDER BY l.priority, l.expires_at, l.granted_at, l.id
    LOOP
        v_free := v_free + v_lot.free;
        v_take := least(v_lot.free, v_missing);
        IF v_take > 0 THEN
            v_missing := v_missing - v_take;
            v_lot_ids := v_lot_ids || v_lot.id;
            v_takes := v_takes || v_take;
            v_lots := v_lots || jsonb_build_array(jsonb_build_array(v_lot.id, v_take));
        END IF;
    END LOOP;

    -- Without a lock: a debt blocks what comes after its commit, and a call beside it came before.
    SELECT sum(d.owed_mtok - d.settled_mtok - d.dropped_mtok)::bigint INTO v_owed
    FROM billing_debt d WHERE d.org_id = p_org AND d.outstanding;

    IF v_limited_by IS NOT NULL AND v_missing = 0 AND (v_room IS NULL OR v_room >= p_amount) THEN
        SELECT checked.windows, checked.refusal INTO v_windows, v_refusal
        FROM billing_check_limits(p_org, v_limited_by, p_amount, p_now) checked;
    END IF;

    IF v_closed OR v_expired OR v_owed > 0 OR v_missing > 0 OR v_room < p_amount OR v_refusal IS NOT NULL THEN
        RETURN QUERY SELECT
            CASE
                WHEN EXISTS (SELECT FROM billing_hold h WHERE h.org_id = p_org AND h.idempotency_key = p_key) THEN 'duplicate'
                WHEN v_closed THEN 'account_closed'
                WHEN v_expired THEN 'account_expired'
                WHEN v_owed > 0 THEN 'debt_outstanding'
                WHEN v_room < p_amount THEN 'quota_exceeded'
                WHEN v_missing > 0 THEN 'insufficient_tokens'
                WHEN v_refusal ->> 'limit' = 'tokens_per_hour' THEN 'hourly_limit_exceeded'
                ELSE 'quota_exceeded'
            END,
            least(v_free, v_room),
            CASE WHEN v_owed > 0 THEN (
                SELECT jsonb_build_object(
                    'limit', 'debt', 'level', 'organization', 'account', a.id, 'owed_mtok', v_owed)
                FROM billing_account a WHERE a.org_id = p_org AND a.kind = 'org_wallet'
            ) ELSE coalesce(v_refusal, (
                SELECT jsonb_build_object(
                    'limit', CASE WHEN v_room < p_amount THEN 'quota' ELSE 'tokens' END,
                    'level', billing_level(a.kind), 'account', a.id)
                FROM billing_account a
                WHERE a.org_id = p_org AND a.id = ANY (CASE WHEN v_room < p_amount THEN v_path ELSE ARRAY[v_funding] END)
                ORDER BY a.cap_mtok - a.drawn_mtok
                LIMIT 1
            )) END;
        RETURN;
    END IF;

    INSERT INTO billing_hold (
        id, org_id, created_at, account_id, funding_id, path, amount_mtok, captured_mtok, status, lots,
        idempotency_key, owner_id, deadline
    ) VALUES (
        p_hold, p_org, p_now, p_account, v_funding, v_path, p_amount, 0, 'held', v_lots, p_key, p_owner, p_deadline
    ) ON CONFLICT (org_id, idempotency_key) DO NOTHING;
    IF NOT FOUND THEN
        RETURN QUERY SELECT 'duplicate', least(v_free, v_room), NULL::jsonb;
        RETURN;
    END IF;

    FOR i IN 1 .. cardinality(v_lot_ids) LOOP
        UPDATE billing_lot SET held_mtok = held_mtok + v_takes[i] WHERE id = v_lot_ids[i] AND org_id = p_org;
    END LOOP;
    UPDATE billing_account SET held_mtok = held_mtok + p_amount WHERE id = v_funding AND org_id = p_org;
    IF v_path <> '{}' THEN
        UPDATE billing_account SET drawn_mtok = drawn_mtok + p_amount WHERE id = ANY (v_path) AND org_id = p_org;
    END IF;
    IF v_windows IS NOT NULL THEN
        UPDATE billing_limitwindow SET used_mtok = used_mtok + p_amount WHERE id = ANY (v_windows) AND org_id = p_org;
    END IF;

    RETURN QUERY SELECT 'held', least(v_free, v_room) - p_amount, NULL::jsonb;
END $$;
