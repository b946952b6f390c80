-- Add finished calls to the sums of their hour, their day and their tags, in the transaction that finishes them: to
-- those of their sub-token, and to those of their organization, which its pages read.
--
-- Locks the rows of the sums, table by table in one order for everybody, and in each in the order of the keys. Whoever
-- finishes a call takes the locks of accounts before that, so that the sums' come last; and as the account of what an
-- organization consumed is among those, its sums make nobody wait who would not have waited there.
--
-- A sub-token that brings more than 1,000 different tags in a day has the rest counted as '(other)': a tag that is new
-- with every call would make the sums as long as the log.
CREATE OR REPLACE FUNCTION detection_count_usage(p_jobs uuid[]) RETURNS void
LANGUAGE plpgsql SECURITY INVOKER
SET search_path = public, pg_temp
SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off
SET enable_hashjoin = off
SET enable_mergejoin = off
AS $$
DECLARE
    v_tagged boolean;
    v_ids uuid[] := ARRAY(SELECT id FROM unnest(p_jobs) AS id ORDER BY 1);
BEGIN
    WITH call AS (
        SELECT org_id, sub_token_id, model_version_id, finished_at, status, cached, charged_mtok, tags
        FROM detection_job WHERE id = ANY (v_ids) AND id BETWEEN v_ids[1] AND v_ids[cardinality(v_ids)] AND finished_at IS NOT NULL
    ), hour AS MATERIALIZED (
        SELECT org_id, date_trunc('hour', finished_at, 'UTC') AS hour, sub_token_id, model_version_id,
               count(*) AS calls, count(*) FILTER (WHERE status = 'succeeded') AS succeeded,
               count(*) FILTER (WHERE status = 'failed') AS failed, count(*) FILTER (WHERE cached) AS cached,
               sum(charged_mtok) AS charged_mtok, bool_or(tags <> '{}') AS tagged
        FROM call GROUP BY 1, 2, 3, 4
    ), daily AS (
        INSERT INTO detection_dailyusage AS d (
            id, org_id, created_at, day, sub_token_id, model_version_id, calls, succeeded, failed, cached, charged_mtok)
        SELECT tokensight_new_id(), org_id, now(), (hour AT TIME ZONE 'UTC')::date, sub_token_id, model_version_id,
               sum(calls), sum(succeeded), sum(failed), sum(cached), sum(charged_mtok)
        FROM hour GROUP BY 2, 4, 5, 6 ORDER BY 2, 4, 5, 6
        ON CONFLICT (org_id, day, sub_token_id, model_version_id) DO UPDATE
        SET calls = d.calls + excluded.calls, succeeded = d.succeeded + excluded.succeeded,
            failed = d.failed + excluded.failed, cached = d.cached + excluded.cached,
            charged_mtok = d.charged_mtok + excluded.charged_mtok
    ), hourly AS (
        INSERT INTO detection_hourlyusage AS h (
            id, org_id, created_at, hour, sub_token_id, model_version_id, calls, succeeded, failed, cached,
            charged_mtok)
        SELECT tokensight_new_id(), org_id, now(), hour, sub_token_id, model_version_id, calls, succeeded, failed,
               cached, charged_mtok
        FROM hour ORDER BY org_id, hour, sub_token_id, model_version_id
        ON CONFLICT (org_id, hour, sub_token_id, model_version_id) DO UPDATE
        SET calls = h.calls + excluded.calls, succeeded = h.succeeded + excluded.succeeded,
            failed = h.failed + excluded.failed, cached = h.cached + excluded.cached,
            charged_mtok = h.charged_mtok + excluded.charged_mtok
    ), whole AS MATERIALIZED (
        SELECT org_id, hour, model_version_id, sum(calls) AS calls, sum(succeeded) AS succeeded, sum(failed) AS failed,
               sum(cached) AS cached, sum(charged_mtok) AS charged_mtok
        FROM hour GROUP BY 1, 2, 3
    ), whole_day AS (
        INSERT INTO detection_organizationday AS d (
            id, org_id, created_at, day, model_version_id, calls, succeeded, failed, cached, charged_mtok)
        SELECT tokensight_new_id(), org_id, now(), (hour AT TIME ZONE 'UTC')::date, model_version_id,
               sum(calls), sum(succeeded), sum(failed), sum(cached), sum(charged_mtok)
        FROM whole GROUP BY 2, 4, 5 ORDER BY 2, 4, 5
        ON CONFLICT (org_id, day, model_version_id) DO UPDATE
        SET calls = d.calls + excluded.calls, succeeded = d.succeeded + excluded.succeeded,
            failed = d.failed + excluded.failed, cached = d.cached + excluded.cached,
            charged_mtok = d.charged_mtok + excluded.charged_mtok
    ), whole_hour AS (
        INSERT INTO detection_organizationhour AS h (
            id, org_id, created_at, hour, model_version_id, calls, succeeded, failed, cached, charged_mtok)
        SELECT tokensight_new_id(), org_id, now(), hour, model_version_id, calls, succeeded, failed, cached,
               charged_mtok
        FROM whole ORDER BY org_id, hour, model_version_id
        ON CONFLICT (org_id, hour, model_version_id) DO UPDATE
        SET calls = h.calls + excluded.calls, succeeded = h.succeeded + excluded.succeeded,
            failed = h.failed + excluded.failed, cached = h.cached + excluded.cached,
            charged_mtok = h.charged_mtok + excluded.charged_mtok
    )
    SELECT bool_or(tagged) INTO v_tagged FROM hour;
    IF NOT coalesce(v_tagged, false) THEN
        RETURN;
    END IF;

    WITH call AS (
        SELECT org_id, (finished_at AT TIME ZONE 'UTC')::date AS day, sub_token_id, model_version_id, status, cached,
               charged_mtok, tags
        FROM detection_job WHERE id = ANY (v_ids) AND id BETWEEN v_ids[1] AND v_ids[cardinality(v_ids)] AND finished_at IS NOT NULL
          AND tags <> '{}'
    ), known AS (  -- how many tags each sub-token has brought on that day
        SELECT day, sub_token_id, (
            SELECT count(*) FROM (
                SELECT FROM detection_tagusage t
                WHERE t.org_id = call.org_id AND t.day = call.day AND t.sub_token_id = call.sub_token_id LIMIT 1000
            ) AS brought) AS tags
        FROM (SELECT DISTINCT org_id, day, sub_token_id FROM call) call
    ), tag AS (
        SELECT call.*, t.name, t.value FROM call CROSS JOIN LATERAL jsonb_each_text(call.tags) AS t (name, value)
        UNION ALL
        SELECT call.*, '', '' FROM call
    ), counted AS (
        SELECT tag.org_id, tag.day, tag.sub_token_id, tag.model_version_id, tag.name,
               CASE WHEN known.tags < 1000 OR tag.name = '' OR EXISTS (
                   SELECT FROM detection_tagusage t
                   WHERE t.org_id = tag.org_id AND t.day = tag.day AND t.sub_token_id = tag.sub_token_id
                     AND t.model_version_id = tag.model_version_id AND t.name = tag.name AND t.value = tag.value
               ) THEN tag.value ELSE '(other)' END AS value,
               tag.status, tag.cached, tag.charged_mtok
        FROM tag JOIN known ON known.day = tag.day AND known.sub_token_id = tag.sub_token_id
    ), tagged AS MATERIALIZED (
        SELECT org_id, day, sub_token_id, model_version_id, name, value, count(*) AS calls,
               count(*) FILTER (WHERE status = 'succeeded') AS succeeded,
               count(*) FILTER (WHERE status = 'failed') AS failed, count(*) FILTER (WHERE cached) AS cached,
               sum(charged_mtok) AS charged_mtok
        FROM counted GROUP BY 1, 2, 3, 4, 5, 6
    ), of_sub_tokens AS (
        INSERT INTO detection_tagusage AS g (
            id, org_id, created_at, day, sub_token_id, model_version_id, name, value, calls, succeeded, failed, cached,
            charged_mtok)
        SELECT tokensight_new_id(), org_id, now(), day, sub_token_id, model_version_id, name, value, calls, succeeded,
               failed, cached, charged_mtok
        FROM tagged ORDER BY org_id, day, sub_token_id, model_version_id, name, value
        ON CONFLICT (org_id, day, sub_token_id, model_version_id, name, value) DO UPDATE
        SET calls = g.calls + excluded.calls, succeeded = g.succeeded + excluded.succeeded,
            failed = g.failed + excluded.failed, cached = g.cached + excluded.cached,
            charged_mtok = g.charged_mtok + excluded.charged_mtok
    )
    INSERT INTO detection_organizationtag AS g (
        id, org_id, created_at, day, model_version_id, name, value, calls, succeeded, failed, cached, charged_mtok)
    SELECT tokensight_new_id(), org_id, now(), day, model_version_id, name, value, sum(calls), sum(succeeded),
           sum(failed), sum(cached), sum(charged_mtok)
    FROM tagged GROUP BY 2, 4, 5, 6, 7 ORDER BY 2, 4, 6, 7, 5
    ON CONFLICT (org_id, day, name, value, model_version_id) DO UPDATE
    SET calls = g.calls + excluded.calls, succeeded = g.succeeded + excluded.succeeded,
        failed = g.failed + excluded.failed, cached = g.cached + excluded.cached,
        charged_mtok = g.charged_mtok + excluded.charged_mtok;
END $$;

-- However a call is finished, it is counted: no way out of the queue can forget it. A cached answer is finished when it
-- comes. detection_finish counts its batch at once and says so (tokensight.counting). As a condition on the row this
-- costs a claim or a renewed lease nothing.
CREATE OR REPLACE FUNCTION detection_count_one() RETURNS trigger
LANGUAGE plpgsql SECURITY INVOKER
SET search_path = public, pg_temp
AS $$
BEGIN
    PERFORM detection_count_usage(ARRAY[NEW.id]);
    RETURN NULL;
END $$;

CREATE OR REPLACE TRIGGER count_inserted AFTER INSERT ON detection_job
    FOR EACH ROW WHEN (NEW.finished_at IS NOT NULL) EXECUTE FUNCTION detection_count_one();
CREATE OR REPLACE TRIGGER count_finished AFTER UPDATE ON detection_job FOR EACH ROW
    WHEN (OLD.finished_at IS NULL AND NEW.finished_at IS NOT NULL
          AND current_setting('tokensight.counting', true) IS DISTINCT FROM 'batch')
    EXECUTE FUNCTION detection_count_one();
