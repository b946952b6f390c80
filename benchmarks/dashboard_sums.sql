-- Count all calls at once, as detection_count_usage does when each is finished.
INSERT INTO detection_hourlyusage (
    id, org_id, created_at, hour, sub_token_id, model_version_id, calls, succeeded, failed, cached, charged_mtok)
SELECT tokensight_new_id(), org_id, now(), date_trunc('hour', finished_at, 'UTC'), sub_token_id, model_version_id,
       count(*), count(*) FILTER (WHERE status = 'succeeded'), count(*) FILTER (WHERE status = 'failed'),
       count(*) FILTER (WHERE cached), sum(charged_mtok)
FROM detection_job WHERE finished_at IS NOT NULL GROUP BY 2, 4, 5, 6;

INSERT INTO detection_dailyusage (
    id, org_id, created_at, day, sub_token_id, model_version_id, calls, succeeded, failed, cached, charged_mtok)
SELECT tokensight_new_id(), org_id, now(), (hour AT TIME ZONE 'UTC')::date, sub_token_id, model_version_id,
       sum(calls), sum(succeeded), sum(failed), sum(cached), sum(charged_mtok)
FROM detection_hourlyusage GROUP BY 2, 4, 5, 6;

WITH tag AS (
    SELECT job.org_id, (job.finished_at AT TIME ZONE 'UTC')::date AS day, job.sub_token_id, job.model_version_id, t.name,
           t.value, job.status, job.cached, job.charged_mtok
    FROM detection_job job
    CROSS JOIN LATERAL (
        SELECT key AS name, value FROM jsonb_each_text(job.tags) UNION ALL SELECT '', ''
    ) AS t
    WHERE job.finished_at IS NOT NULL AND job.tags <> '{}'
), ranked AS (
    SELECT org_id, day, sub_token_id, name, value,
           row_number() OVER (PARTITION BY org_id, day, sub_token_id ORDER BY name <> '', count(*) DESC) AS place
    FROM tag GROUP BY 1, 2, 3, 4, 5
)
INSERT INTO detection_tagusage (
    id, org_id, created_at, day, sub_token_id, model_version_id, name, value, calls, succeeded, failed, cached,
    charged_mtok)
SELECT tokensight_new_id(), tag.org_id, now(), tag.day, tag.sub_token_id, tag.model_version_id, tag.name,
       CASE WHEN ranked.place <= 1000 THEN tag.value ELSE '(other)' END,
       count(*), count(*) FILTER (WHERE tag.status = 'succeeded'), count(*) FILTER (WHERE tag.status = 'failed'),
       count(*) FILTER (WHERE tag.cached), sum(tag.charged_mtok)
FROM tag JOIN ranked USING (org_id, day, sub_token_id, name, value) GROUP BY 2, 4, 5, 6, 7, 8;

-- The sums of organizations, from those of their sub-tokens.
INSERT INTO detection_organizationhour (
    id, org_id, created_at, hour, model_version_id, calls, succeeded, failed, cached, charged_mtok)
SELECT tokensight_new_id(), org_id, now(), hour, model_version_id, sum(calls), sum(succeeded), sum(failed), sum(cached),
       sum(charged_mtok)
FROM detection_hourlyusage GROUP BY 2, 4, 5;

INSERT INTO detection_organizationday (
    id, org_id, created_at, day, model_version_id, calls, succeeded, failed, cached, charged_mtok)
SELECT tokensight_new_id(), org_id, now(), day, model_version_id, sum(calls), sum(succeeded), sum(failed), sum(cached),
       sum(charged_mtok)
FROM detection_dailyusage GROUP BY 2, 4, 5;

INSERT INTO detection_organizationtag (
    id, org_id, created_at, day, model_version_id, name, value, calls, succeeded, failed, cached, charged_mtok)
SELECT tokensight_new_id(), org_id, now(), day, model_version_id, name, value, sum(calls), sum(succeeded), sum(failed),
       sum(cached), sum(charged_mtok)
FROM detection_tagusage GROUP BY 2, 4, 5, 6, 7;
