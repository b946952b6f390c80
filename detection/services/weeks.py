"""Weeks that are over, summed up from their days, so that pages read a third of the rows."""

from __future__ import annotations

import datetime as dt

from django.db import connection

from tenants.queries.organizations import every_organization
from tenants.scope import platform_scope

# A batch that was settled at the week's last moment is committed by then, whatever the machines' clocks say.
SETTLED_AFTER = dt.timedelta(days=1)

# Whoever does the same beside this writes the same rows.
_SUM_UP = """
INSERT INTO detection_weeklyusage (
    id, org_id, created_at, week, sub_token_id, model_version_id, calls, succeeded, failed, cached, charged_mtok)
SELECT tokensight_new_id(), day.org_id, %(now)s, week.first, day.sub_token_id, day.model_version_id, sum(day.calls),
       sum(day.succeeded), sum(day.failed), sum(day.cached), sum(day.charged_mtok)
FROM (
    SELECT monday::date AS first FROM generate_series(
        date_trunc('week', (SELECT min(day) FROM detection_dailyusage WHERE org_id = %(org)s))::timestamp,
        %(last)s::date::timestamp, '7 days'
    ) AS monday
    WHERE NOT EXISTS (
        SELECT FROM detection_weeklyusage done WHERE done.org_id = %(org)s AND done.week = monday::date)
) week
JOIN detection_dailyusage day ON day.org_id = %(org)s AND day.day >= week.first AND day.day < week.first + 7
GROUP BY 2, 4, 5, 6
ON CONFLICT DO NOTHING
"""


def sum_up_weeks(*, now: dt.datetime) -> int:
    """Sum up every organization's weeks (UTC, from Monday) that are over and were not yet; return the rows written.

    One transaction for each organization: a week is there whole or not at all.
    """
    today = (now - SETTLED_AFTER).astimezone(dt.UTC).date()
    last = today - dt.timedelta(days=today.weekday() + 7)
    written = 0
    for organization_id, _slug in every_organization():
        with platform_scope("sum up weeks of usage", patient=True), connection.cursor() as cursor:
            cursor.execute(_SUM_UP, {"org": organization_id, "last": last, "now": now})
            written += cursor.rowcount
    return written
