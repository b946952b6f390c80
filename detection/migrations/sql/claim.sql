-- Take up to p_limit waiting jobs of one model version and size, in fair-share order, under a lease.
--
-- Goes through the platform's door by itself and closes it, so that a claim outside of a transaction is one round trip.
-- An error rolls back what it set.
--
-- Calls lie in a table for each week, and a claim opens only those in which something can wait: from `p_oldest`, when
-- the oldest job that may still wait was made, to now. The jobs are picked first and changed by their ids, so that the
-- change opens one or two tables and not all; where nothing waits, it is not begun.
--
-- The clock of fair share follows the first job taken of each class. Its rows are locked in order, since one batch may
-- take jobs of several classes. A claim lost to a power cut only leaves the job queued: it need not wait for the disk.
CREATE OR REPLACE FUNCTION detection_claim(
    p_version uuid, p_img_size int, p_limit int, p_worker text, p_lease timestamptz, p_oldest timestamptz,
    p_now timestamptz
) RETURNS TABLE (job_id uuid, attempt smallint, parameters jsonb)
LANGUAGE plpgsql SECURITY INVOKER
SET search_path = public, pg_temp
SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off
AS $$
#variable_conflict use_column
DECLARE
    v_role text := current_setting('role');
    v_first uuid := tokensight_first_id(p_oldest);
    -- The clocks of the machines that name jobs need not agree to the second.
    v_end uuid := tokensight_first_id(greatest(p_now, now()) + interval '1 hour');
    v_ids uuid[];
BEGIN
    PERFORM set_config('role', '@PLATFORM@', true),
            set_config('synchronous_commit', 'off', true);
    v_ids := ARRAY(
        SELECT id FROM detection_job
         WHERE status = 'queued' AND model_version_id = p_version AND img_size = p_img_size
           AND id >= v_first AND id < v_end
         ORDER BY priority_class, virtual_finish, id
         LIMIT p_limit
           FOR UPDATE SKIP LOCKED);
    IF v_ids <> '{}' THEN
        SELECT min(id::text)::uuid, max(id::text)::uuid INTO v_first, v_end FROM unnest(v_ids) AS id;
        RETURN QUERY
        WITH claimed AS (
            UPDATE detection_job AS job
               SET status = 'running', worker = p_worker, attempts = attempts + 1, claimed_at = p_now,
                   started_at = p_now, lease_expires_at = p_lease,
                   queue_ms = GREATEST(0, extract(epoch FROM p_now - created_at) * 1000)
             WHERE job.id = ANY (v_ids) AND job.id BETWEEN v_first AND v_end
            RETURNING job.id, job.attempts, job.parameters, job.priority_class, job.virtual_finish
        ), served AS (
            SELECT priority_class, min(virtual_finish) AS reached FROM claimed GROUP BY priority_class
        ), clock AS MATERIALIZED (
            SELECT priority_class, reached FROM detection_virtualtime JOIN served USING (priority_class)
             ORDER BY priority_class FOR UPDATE OF detection_virtualtime
        ), moved AS (
            UPDATE detection_virtualtime AS t SET now = clock.reached
              FROM clock WHERE t.priority_class = clock.priority_class AND t.now < clock.reached
        )
        SELECT id, attempts, claimed.parameters FROM claimed ORDER BY priority_class, virtual_finish, id;
    END IF;
    PERFORM set_config('role', v_role, true);
END $$;
