-- Takes several jobs of one organization in, one after the other, and answers as detection_admit does for each, in their
-- order. All or nothing: what raises for one takes none of them.
--
-- `p_calls`: [{"account", "sub_token", "key", "request_hash", "may_wait", "weight", "job", "deadline", "now"}, ...],
-- all with a caller on the line (p_wait) and in the same hour, so that they count in the same windows.
--
-- Locks the idempotency keys in order, then all their accounts and limits in theirs, then the fair-share clocks.
CREATE OR REPLACE FUNCTION detection_admit_together(p_org uuid, p_calls jsonb)
RETURNS TABLE (outcome text, available_mtok bigint, job_id uuid, refusal jsonb)
LANGUAGE plpgsql SECURITY INVOKER
SET search_path = public, pg_temp
SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off
AS $$
#variable_conflict use_column
DECLARE
    call record;
BEGIN
    PERFORM pg_advisory_xact_lock(keys.hash) FROM (
        SELECT DISTINCT hashtextextended((asked.value ->> 'sub_token') || (asked.value ->> 'key'), 0) AS hash
        FROM jsonb_array_elements(p_calls) AS asked
        WHERE asked.value ->> 'key' IS NOT NULL
        ORDER BY hash
    ) AS keys;
    PERFORM billing_lock_for_holds(
        p_org, (SELECT array_agg(DISTINCT (asked.value ->> 'account')::uuid) FROM jsonb_array_elements(p_calls) AS asked));

    FOR call IN
        SELECT * FROM jsonb_to_recordset(p_calls) AS (
            account uuid, sub_token uuid, key text, request_hash text, may_wait boolean, weight float8, job jsonb,
            deadline timestamptz, now timestamptz)
    LOOP
        RETURN QUERY SELECT outcome, available_mtok, job_id, refusal FROM detection_admit(
            p_org, call.account, call.sub_token, call.key, call.request_hash, true, call.may_wait, call.weight, call.job,
            call.deadline, call.now);
    END LOOP;
END $$;
