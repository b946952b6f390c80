"""The statements that run a batch, as functions: a connection plans them once instead of for every batch.

Every row is found by an index that fits. Left to itself the planner would scan or sort while the tables are small, and
a connection keeps its plans for hours while they grow.
"""

from django.conf import settings
from django.db import migrations

KEPT = """
SET search_path = public, pg_temp
SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off
SET enable_bitmapscan = off
SET enable_sort = off
SET enable_hashjoin = off
SET enable_mergejoin = off
"""

# Goes through the platform's door by itself and closes it, so that a claim outside of a transaction is one round trip.
# An error rolls back what it set.
#
# The clock of fair share follows the first job taken of each class. Its rows are locked in order, since one batch may
# take jobs of several classes. A claim lost to a power cut only leaves the job queued: it need not wait for the disk.
CLAIM = f"""
CREATE FUNCTION detection_claim(
    p_version uuid, p_img_size int, p_limit int, p_worker text, p_lease timestamptz, p_now timestamptz
) RETURNS TABLE (job_id uuid, attempt smallint, parameters jsonb)
LANGUAGE plpgsql SECURITY INVOKER {KEPT} AS $$
#variable_conflict use_column
DECLARE
    v_role text := current_setting('role');
BEGIN
    PERFORM set_config('role', '{settings.DATABASE_PLATFORM_ROLE}', true),
            set_config('synchronous_commit', 'off', true);
    RETURN QUERY
    WITH picked AS (
        SELECT id FROM detection_job
         WHERE status = 'queued' AND model_version_id = p_version AND img_size = p_img_size
         ORDER BY priority_class, virtual_finish, id
         LIMIT p_limit
           FOR UPDATE SKIP LOCKED
    ), claimed AS (
        UPDATE detection_job AS job
           SET status = 'running', worker = p_worker, attempts = attempts + 1, claimed_at = p_now, started_at = p_now,
               lease_expires_at = p_lease,
               queue_ms = GREATEST(0, extract(epoch FROM p_now - created_at) * 1000)
          FROM picked WHERE job.id = picked.id
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
    PERFORM set_config('role', v_role, true);
END $$;
"""

# Run in a platform scope.
SETTLE = f"""
CREATE FUNCTION detection_lock_running(p_jobs uuid[], p_worker text) RETURNS SETOF detection_job
LANGUAGE plpgsql SECURITY INVOKER {KEPT} AS $$
BEGIN
    RETURN QUERY SELECT * FROM detection_job
     WHERE id = ANY (p_jobs) AND status = 'running' AND worker = p_worker ORDER BY id FOR UPDATE;
END $$;

CREATE FUNCTION detection_finish(p_jobs jsonb) RETURNS void
LANGUAGE plpgsql SECURITY INVOKER {KEPT} AS $$
BEGIN
    UPDATE detection_job AS job
       SET status = done.status, charged_mtok = done.charged_mtok, inference_ms = done.inference_ms,
           total_ms = done.total_ms, image_width = done.image_width, image_height = done.image_height,
           error_code = done.error_code, error_detail = done.error_detail, result = done.result,
           prediction_count = done.prediction_count, finished_at = done.finished_at,
           lease_expires_at = done.lease_expires_at
      FROM jsonb_to_recordset(p_jobs) AS done (
           id uuid, status text, charged_mtok bigint, inference_ms float8, total_ms float8, image_width int,
           image_height int, error_code text, error_detail text, result jsonb, prediction_count int,
           finished_at timestamptz, lease_expires_at timestamptz)
     WHERE job.id = done.id;
END $$;
"""
ADMIT = "detection_admit(uuid, uuid, uuid, text, text, boolean, float8, jsonb, timestamptz, timestamptz)"


class Migration(migrations.Migration):
    dependencies = [("detection", "0002_admission"), ("billing", "0006_kept_plans")]

    operations = [
        migrations.RunSQL(
            CLAIM, "DROP FUNCTION detection_claim(uuid, int, int, text, timestamptz, timestamptz)"
        ),
        migrations.RunSQL(
            SETTLE, "DROP FUNCTION detection_finish(jsonb), detection_lock_running(uuid[], text)"
        ),
        migrations.RunSQL(
            f"ALTER FUNCTION {ADMIT} SET plan_cache_mode = force_generic_plan SET enable_seqscan = off",
            f"ALTER FUNCTION {ADMIT} RESET plan_cache_mode RESET enable_seqscan",
        ),
    ]
