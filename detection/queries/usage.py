"""What calls cost, summed up. Whoever calls has opened the scope of an organization."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.db import connection

# A dimension's columns, and the join that they need. `tag` counts a call once for each of its tags.
_DIMENSIONS: dict[str, tuple[tuple[str, ...], str]] = {
    "team": (("team.id", "team.name"), "LEFT JOIN tenants_team team ON team.id = token.team_id"),
    "sub_token": (("token.id", "token.name"), ""),
    "model": (
        ("model.name",),
        "JOIN detection_modelversion version ON version.id = job.model_version_id"
        " JOIN detection_model model ON model.id = version.model_id",
    ),
    "day": (("(job.created_at AT TIME ZONE 'UTC')::date",), ""),
    "tag": (
        ("tag.key || '=' || tag.value",),
        "LEFT JOIN LATERAL jsonb_each_text(job.tags) AS tag ON true",
    ),
}
DIMENSIONS = tuple(_DIMENSIONS)
MAX_ROWS = 10_000

_SUMS = (
    "count(*), count(*) FILTER (WHERE job.status = 'succeeded'), count(*) FILTER (WHERE job.status = 'failed'),"
    " count(*) FILTER (WHERE job.cached), coalesce(sum(job.charged_mtok), 0)::bigint"
)


@dataclass(frozen=True, slots=True)
class UsageRow:
    """Calls and what they cost, of one group. `group` holds, by dimension: {"id", "name"} of a team or sub-token (None
    for no team), a model's name, a date, or a tag as `name=value` (None for no tag)."""

    group: dict[str, Any]
    calls: int
    succeeded: int
    failed: int
    cached: int
    charged_mtok: int


def usage(
    organization_id: uuid.UUID,
    *,
    since: dt.datetime,
    until: dt.datetime,
    group_by: Sequence[str] = (),
    sub_token_id: uuid.UUID | None = None,
) -> list[UsageRow]:
    """Return calls made from `since` up to but without `until`, summed up by the dimensions in `group_by`.

    Without any, one row for all. At most MAX_ROWS rows, in the order of the dimensions. Raises KeyError for a dimension
    that there is not.
    """
    columns = [column for name in group_by for column in _DIMENSIONS[name][0]]
    joins = " ".join(_DIMENSIONS[name][1] for name in group_by)
    conditions = "job.org_id = %(org)s AND job.created_at >= %(since)s AND job.created_at < %(until)s"
    if sub_token_id is not None:
        conditions += " AND job.sub_token_id = %(sub_token)s"
    sql = (
        f"SELECT {', '.join([*columns, _SUMS])} FROM detection_job job"  # noqa: S608 made of the constants above
        f" JOIN billing_subtoken token ON token.id = job.sub_token_id {joins} WHERE {conditions}"
    )
    if columns:
        numbers = ", ".join(str(number + 1) for number in range(len(columns)))
        sql += f" GROUP BY {numbers} ORDER BY {numbers} LIMIT {MAX_ROWS}"
    values: dict[str, Any] = {"org": organization_id, "since": since, "until": until, "sub_token": sub_token_id}
    with connection.cursor() as cursor:
        cursor.execute(sql, values)
        return [_row(row, group_by) for row in cursor.fetchall()]


def _row(row: tuple[Any, ...], group_by: Sequence[str]) -> UsageRow:
    values = iter(row)
    group: dict[str, Any] = {}
    for name in group_by:
        if name in ("team", "sub_token"):
            key, label = next(values), next(values)
            group[name] = None if key is None else {"id": str(key), "name": label}
        else:
            group[name] = next(values)
    return UsageRow(group, *values)
