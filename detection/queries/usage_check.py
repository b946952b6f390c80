"""Whether the sums of usage say what the ledger says. Read in the scope of the caller's transaction."""

from __future__ import annotations

import datetime as dt
import uuid
from typing import Any

from django.db import connection

SHOWN = 100

# Every line: what is compared, whose and on which day, what the ledger (or the sum that was checked before) says, and
# what the sum says. A transaction's snapshot is one moment of both, as captures are counted where they are made.
_CHECK = """
WITH daily AS (
    SELECT day, sub_token_id, sum(charged_mtok) AS mtok, sum(calls) AS calls
    FROM detection_dailyusage WHERE org_id = %(org)s AND day >= %(since)s GROUP BY 1, 2
), hourly AS (
    SELECT (hour AT TIME ZONE 'UTC')::date AS day, sub_token_id, sum(charged_mtok) AS mtok, sum(calls) AS calls
    FROM detection_hourlyusage WHERE org_id = %(org)s AND hour >= %(since)s::timestamp AT TIME ZONE 'UTC' GROUP BY 1, 2
), captured AS (
    SELECT burn.day, token.id AS sub_token_id, burn.captured_mtok AS mtok
    FROM billing_dailyburn burn JOIN billing_subtoken token ON token.account_id = burn.account_id
    WHERE burn.org_id = %(org)s AND burn.day >= %(since)s
), tagged AS (
    SELECT day, sub_token_id, name, sum(charged_mtok) AS mtok
    FROM detection_tagusage WHERE org_id = %(org)s AND day >= %(since)s GROUP BY day, sub_token_id, name
), whole AS (
    SELECT part, day, version, sum(mtok) AS mtok, sum(calls) AS calls FROM (
        SELECT '' AS part, day, model_version_id AS version, charged_mtok AS mtok, calls
        FROM detection_organizationday WHERE org_id = %(org)s AND day >= %(since)s
        UNION ALL
        SELECT hour::text, (hour AT TIME ZONE 'UTC')::date, model_version_id, charged_mtok, calls
        FROM detection_organizationhour WHERE org_id = %(org)s AND hour >= %(since)s::timestamp AT TIME ZONE 'UTC'
        UNION ALL
        SELECT name || '=' || value, day, model_version_id, charged_mtok, calls
        FROM detection_organizationtag WHERE org_id = %(org)s AND day >= %(since)s
    ) line GROUP BY 1, 2, 3
), parts AS (
    SELECT part, day, version, sum(mtok) AS mtok, sum(calls) AS calls FROM (
        SELECT '' AS part, day, model_version_id AS version, charged_mtok AS mtok, calls
        FROM detection_dailyusage WHERE org_id = %(org)s AND day >= %(since)s
        UNION ALL
        SELECT hour::text, (hour AT TIME ZONE 'UTC')::date, model_version_id, charged_mtok, calls
        FROM detection_hourlyusage WHERE org_id = %(org)s AND hour >= %(since)s::timestamp AT TIME ZONE 'UTC'
        UNION ALL
        SELECT name || '=' || value, day, model_version_id, charged_mtok, calls
        FROM detection_tagusage WHERE org_id = %(org)s AND day >= %(since)s
    ) line GROUP BY 1, 2, 3
), weekly AS (
    SELECT week, sub_token_id, sum(charged_mtok) AS mtok, sum(calls) AS calls
    FROM detection_weeklyusage WHERE org_id = %(org)s AND week >= %(since)s GROUP BY 1, 2
), days AS (
    SELECT date_trunc('week', day::timestamp)::date AS week, sub_token_id, sum(mtok) AS mtok, sum(calls) AS calls
    FROM daily WHERE date_trunc('week', day::timestamp)::date IN (SELECT week FROM weekly) GROUP BY 1, 2
), off (name, subject, day, expected, actual) AS (
    SELECT 'usage of the day = its captures', sub_token_id, day, coalesce(captured.mtok, 0), coalesce(daily.mtok, 0)
    FROM daily FULL JOIN captured USING (day, sub_token_id)
    WHERE coalesce(captured.mtok, 0) <> coalesce(daily.mtok, 0)
    UNION ALL
    SELECT 'usage of the hours = usage of the day', sub_token_id, day, coalesce(daily.mtok, 0), coalesce(hourly.mtok, 0)
    FROM daily FULL JOIN hourly USING (day, sub_token_id)
    WHERE (coalesce(daily.mtok, 0), coalesce(daily.calls, 0)) <> (coalesce(hourly.mtok, 0), coalesce(hourly.calls, 0))
    UNION ALL
    SELECT 'usage of a tag is within that of its calls', tag.sub_token_id, tag.day, coalesce(whole.mtok, 0), tag.mtok
    FROM tagged tag
    LEFT JOIN tagged whole ON whole.name = '' AND whole.day = tag.day AND whole.sub_token_id = tag.sub_token_id
    WHERE tag.name <> '' AND tag.mtok > coalesce(whole.mtok, 0)
    UNION ALL
    SELECT 'usage with tags is within that of the day', tag.sub_token_id, tag.day, coalesce(daily.mtok, 0), tag.mtok
    FROM tagged tag LEFT JOIN daily USING (day, sub_token_id)
    WHERE tag.name = '' AND tag.mtok > coalesce(daily.mtok, 0)
    UNION ALL
    SELECT 'usage of the week = that of its days', sub_token_id, week, coalesce(days.mtok, 0), coalesce(weekly.mtok, 0)
    FROM weekly FULL JOIN days USING (week, sub_token_id)
    WHERE (coalesce(weekly.mtok, 0), coalesce(weekly.calls, 0)) <> (coalesce(days.mtok, 0), coalesce(days.calls, 0))
    UNION ALL
    SELECT 'usage of the organization = that of its sub-tokens', version, day, coalesce(parts.mtok, 0),
           coalesce(whole.mtok, 0)
    FROM whole FULL JOIN parts USING (part, day, version)
    WHERE (coalesce(whole.mtok, 0), coalesce(whole.calls, 0)) <> (coalesce(parts.mtok, 0), coalesce(parts.calls, 0))
)
SELECT name, subject::text, day::text, expected::bigint, actual::bigint
FROM off ORDER BY day, name, subject LIMIT %(shown)s
"""


def disagreements(organization_id: uuid.UUID, *, since: dt.date) -> list[dict[str, Any]]:
    """Return where the sums of the days from `since` on do not say what the ledger says; at most the first hundred.

    The days of `since` and later must still have their hours. A line is `{"check", "subject", "day", "expected_mtok",
    "actual_mtok"}`, the subject a sub-token's id, or a model version's where an organization's own sums are compared.
    """
    with connection.cursor() as cursor:
        cursor.execute(_CHECK, {"org": organization_id, "since": since, "shown": SHOWN})
        names = ("check", "subject", "day", "expected_mtok", "actual_mtok")
        return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]
