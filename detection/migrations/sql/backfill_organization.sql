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
