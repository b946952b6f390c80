-- Finish jobs that this transaction has locked: Tokens captured or given back, and the rows written.
--
-- p_outcomes is [{"job_id", "error_code", "error_detail", "result", "width", "height", "inference_ms", "transfer_id"}]:
-- without an error code a job has succeeded and its price is captured by the transfer of that id; else its hold goes
-- back. A job whose hold was resolved meanwhile fails as timed_out. Answers what the callers' documents need; the
-- result is known to who sent it.
--
-- Locks the accounts of all holds once, in order of id, then what billing_capture_holds and billing_release_holds lock,
-- then the sums of usage.
--
-- The first and the last of the ids are given beside the ids: a plan is made once, and a range known when it starts is
-- what lets it open the one or two partitions that they are in, and not all.
CREATE OR REPLACE FUNCTION detection_finish(p_outcomes jsonb, p_now timestamptz)
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
SET enable_sort = off
SET enable_hashjoin = off
SET enable_mergejoin = off
AS $$
#variable_conflict use_column
DECLARE
    v_captures jsonb;
    v_releases uuid[];
    v_captured jsonb := '{}';
    v_ids uuid[];
BEGIN
    v_ids := ARRAY(SELECT (o ->> 'job_id')::uuid FROM jsonb_array_elements(p_outcomes) AS o ORDER BY 1);
    SELECT jsonb_agg(jsonb_build_object('hold_id', job.hold_id, 'mtok', job.price_mtok,
                                        'transfer_id', o.outcome -> 'transfer_id')) FILTER (WHERE o.succeeded),
           array_agg(job.hold_id) FILTER (WHERE NOT o.succeeded)
      INTO v_captures, v_releases
      FROM (SELECT outcome, outcome ->> 'error_code' = '' AS succeeded
              FROM jsonb_array_elements(p_outcomes) AS outcome) AS o
      JOIN detection_job AS job ON job.id = (o.outcome ->> 'job_id')::uuid
     WHERE job.hold_id IS NOT NULL AND job.id BETWEEN v_ids[1] AND v_ids[cardinality(v_ids)];

    IF v_captures IS NOT NULL AND v_releases IS NOT NULL THEN
        PERFORM billing_lock_for_resolving(
            v_releases || ARRAY(SELECT (c ->> 'hold_id')::uuid FROM jsonb_array_elements(v_captures) AS c));
    END IF;
    IF v_captures IS NOT NULL THEN
        SELECT jsonb_object_agg(c.hold_id, jsonb_build_array(c.captured_mtok, c.available_mtok)) INTO v_captured
          FROM billing_capture_holds(v_captures, p_now) AS c
         WHERE c.outcome IN ('captured', 'already_captured');
    END IF;
    IF v_releases IS NOT NULL THEN
        PERFORM billing_release_holds(v_releases, 'released', p_now);
    END IF;

    -- All of them at once below, not each by the trigger.
    PERFORM set_config('tokensight.counting', 'batch', true);
    RETURN QUERY
    UPDATE detection_job AS job
       SET status = CASE WHEN done.error_code = '' THEN 'succeeded' ELSE 'failed' END,
           charged_mtok = CASE WHEN done.error_code = '' THEN done.charged_mtok ELSE 0 END,
           error_code = done.error_code,
           error_detail = done.error_detail,
           result = CASE WHEN done.error_code = '' THEN done.result END,
           prediction_count = CASE WHEN done.error_code = '' THEN jsonb_array_length(done.result) END,
           image_width = coalesce(done.width, job.image_width),
           image_height = coalesce(done.height, job.image_height),
           inference_ms = done.inference_ms,
           total_ms = GREATEST(0, extract(epoch FROM p_now - job.created_at) * 1000),
           finished_at = p_now,
           lease_expires_at = NULL
      FROM (
        SELECT o.job_id, o.result, o.width, o.height, o.inference_ms, paid.charged_mtok,
               CASE WHEN o.error_code = '' AND paid.charged_mtok IS NULL THEN 'timed_out' ELSE o.error_code END
                   AS error_code,
               CASE WHEN o.error_code = '' AND paid.charged_mtok IS NULL
                    THEN 'Its Tokens were no longer held when it was done.' ELSE o.error_detail END AS error_detail
          FROM jsonb_to_recordset(p_outcomes) AS o (
               job_id uuid, error_code text, error_detail text, result jsonb, width int, height int, inference_ms float8)
          JOIN detection_job AS asked ON asked.id = o.job_id AND asked.id BETWEEN v_ids[1] AND v_ids[cardinality(v_ids)]
         CROSS JOIN LATERAL (
               SELECT CASE WHEN asked.hold_id IS NULL THEN 0
                           ELSE (v_captured -> asked.hold_id::text ->> 0)::bigint END AS charged_mtok) AS paid
           ) AS done
     WHERE job.id = done.job_id AND job.id BETWEEN v_ids[1] AND v_ids[cardinality(v_ids)]
    RETURNING job.id, job.org_id, job.created_at, job.sub_token_id, job.model_version_id, job.task::text,
              job.img_size::int, job.parameters::text, job.tags::text, job.status::text, job.price_mtok,
              job.charged_mtok, job.price_book, job.cached, job.request_id::text, job.input_sha256::text,
              job.image_width, job.image_height, job.started_at, job.finished_at, job.queue_ms, job.inference_ms,
              job.total_ms, job.error_code::text, job.error_detail, job.prediction_count,
              (v_captured -> job.hold_id::text ->> 1)::bigint;
    PERFORM set_config('tokensight.counting', '', true);
    PERFORM detection_count_usage(v_ids);
END $$;

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
