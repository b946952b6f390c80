-- Keep a job that waits for Tokens, with its image: waiting; replay or mismatch as for detection_admit; or
-- too_many_waiting, when the organization has p_most_jobs of them or p_most_bytes of images, and nothing is kept.
--
-- Locks: the idempotency key, then the organization's waiting jobs against others that come. Survives a power cut.
CREATE OR REPLACE FUNCTION detection_keep_waiting(
    p_org uuid, p_account uuid, p_job jsonb, p_content bytea, p_most_jobs int, p_most_bytes bigint
) RETURNS TABLE (outcome text, job_id uuid)
LANGUAGE plpgsql SECURITY INVOKER
SET search_path = public, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    j detection_job;
    v_outcome text;
    v_earlier uuid;
BEGIN
    PERFORM set_config('tokensight.org_id', p_org::text, true);
    j := jsonb_populate_record(NULL::detection_job, p_job);
    IF j.idempotency_key IS NOT NULL THEN
        SELECT found.outcome, found.job_id INTO v_outcome, v_earlier
          FROM detection_find_earlier(p_org, j.sub_token_id, j.idempotency_key, j.request_hash) AS found;
        IF v_outcome <> 'none' THEN
            RETURN QUERY SELECT v_outcome, v_earlier;
            RETURN;
        END IF;
    END IF;

    PERFORM pg_advisory_xact_lock(hashtextextended('waiting:' || p_org, 0));
    IF (SELECT count(*) >= p_most_jobs OR coalesce(sum(w.size), 0) + length(p_content) > p_most_bytes
          FROM detection_waitinginput AS w WHERE w.org_id = p_org) THEN
        RETURN QUERY SELECT 'too_many_waiting', NULL::uuid;
        RETURN;
    END IF;
    j.status := 'waiting';
    j.wait := false;
    INSERT INTO detection_job SELECT j.*;
    IF j.idempotency_key IS NOT NULL THEN
        INSERT INTO detection_idempotentcall AS kept (id, org_id, created_at, sub_token_id, key, job_id)
        VALUES (j.id, p_org, j.created_at, j.sub_token_id, j.idempotency_key, j.id)
        ON CONFLICT (org_id, sub_token_id, key) DO UPDATE
           SET job_id = excluded.job_id, created_at = excluded.created_at;
    END IF;
    INSERT INTO detection_waitinginput (id, org_id, created_at, account_id, content, size)
    VALUES (j.id, p_org, j.created_at, p_account, p_content, length(p_content));
    RETURN QUERY SELECT 'waiting', j.id;
END $$;

-- Give a job that waits what it waits for: admitted, and in the queue; gone (no longer waiting); or
-- what billing_place_hold refused with, and its refusal.
--
-- Locks the job, the accounts, their limits, the fair-share clock, in this order. Who finds the job locked waits: two
-- rounds beside each other keep the order of the jobs.
CREATE OR REPLACE FUNCTION detection_admit_waiting(
    p_org uuid, p_account uuid, p_job uuid, p_weight float8, p_deadline timestamptz, p_now timestamptz
) RETURNS TABLE (outcome text, refusal jsonb)
LANGUAGE plpgsql SECURITY INVOKER
SET search_path = public, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    j detection_job;
    v_hold uuid := tokensight_new_id();
    v_outcome text;
    v_refusal jsonb;
BEGIN
    SELECT * INTO j FROM detection_job
     WHERE id = p_job AND org_id = p_org AND status = 'waiting' FOR UPDATE;
    IF NOT FOUND THEN
        RETURN QUERY SELECT 'gone', NULL::jsonb;
        RETURN;
    END IF;
    SELECT h.outcome, h.refusal INTO v_outcome, v_refusal
      FROM billing_place_hold(p_org, p_account, v_hold, j.price_mtok, j.id::text, j.id, p_deadline, p_now) AS h;
    IF v_outcome <> 'held' THEN
        RETURN QUERY SELECT v_outcome, v_refusal;
        RETURN;
    END IF;
    UPDATE detection_job
       SET status = 'queued', hold_id = v_hold, admitted_at = p_now,
           virtual_finish = detection_take_turn(p_org, j.id, j.priority_class, j.price_mtok, p_weight, p_now)
     WHERE id = j.id;
    RETURN QUERY SELECT 'admitted', NULL::jsonb;
END $$;
