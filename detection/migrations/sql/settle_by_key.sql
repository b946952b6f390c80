-- Finish a worker's batch in one statement: those of its outcomes whose job is still in the hands of the claim that ran
-- it (worker and attempt). Others (requeued, cancelled, settled already) are left alone and not answered.
--
-- Goes through the platform's door by itself and closes it, so that it is one round trip outside of a transaction; an
-- error rolls back what it set. Locks the jobs in order of id, then as detection_finish does.
--
-- Each job is found by its id, and only then looked at: asked for running ones, the planner reads the index of leases, in
-- which all jobs of all workers stand.
--
-- Its commit does not wait for the disk: that would keep every other call of these accounts waiting for their locks. Who
-- calls it waits for the disk afterwards, with no lock in hand, before anybody is told what the batch has come to.
CREATE OR REPLACE FUNCTION detection_settle(p_worker text, p_outcomes jsonb, p_now timestamptz)
RETURNS TABLE (
    id uuid, org_id uuid, created_at timestamptz, sub_token_id uuid, model_version_id uuid, task text, img_size int,
    parameters text, tags text, status text, price_mtok bigint, charged_mtok bigint, price_book int, cached boolean,
    request_id text, input_sha256 text, image_width int, image_height int, started_at timestamptz,
    finished_at timestamptz, queue_ms float8, inference_ms float8, total_ms float8, error_code text, error_detail text,
    prediction_count int, remaining_mtok bigint)
LANGUAGE plpgsql SECURITY INVOKER
SET search_path = public, pg_temp
SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off
SET enable_bitmapscan = off
SET enable_hashjoin = off
SET enable_mergejoin = off
AS $$
#variable_conflict use_column
DECLARE
    v_role text := current_setting('role');
    v_ours jsonb;
    v_ids uuid[];
BEGIN
    PERFORM set_config('role', '@PLATFORM@', true),
            set_config('synchronous_commit', 'off', true);
    v_ids := ARRAY(SELECT (o ->> 'job_id')::uuid FROM jsonb_array_elements(p_outcomes) AS o ORDER BY 1);
    WITH locked AS MATERIALIZED (
        SELECT job.id, job.attempts, job.status, job.worker FROM detection_job AS job
         WHERE job.id = ANY (v_ids) AND job.id BETWEEN v_ids[1] AND v_ids[cardinality(v_ids)]
         ORDER BY job.id FOR UPDATE
    )
    SELECT jsonb_agg(o) INTO v_ours
      FROM jsonb_array_elements(p_outcomes) AS o
      JOIN locked ON locked.id = (o ->> 'job_id')::uuid AND locked.attempts = (o ->> 'attempt')::int
     WHERE locked.status = 'running' AND locked.worker = p_worker;
    IF v_ours IS NOT NULL THEN
        RETURN QUERY SELECT * FROM detection_finish(v_ours, p_now);
    END IF;
    PERFORM set_config('role', v_role, true);
END $$;
