"""What calls cost, from the sums that are kept in step with the ledger. Whoever calls has opened a scope.

A call counts when it was finished. The sums are by the hour as long as calls are kept, and by the day for ever.
"""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.db import connection

# What a dimension is grouped by inside the sums, and what it is called by outside.
_KEYS = {
    "team": ("sub_token_id",),
    "sub_token": ("sub_token_id",),
    "model": ("model_version_id",),
    "task": ("model_version_id",),
    "hour": ("hour",),
    "day": ("day",),
    "month": ("day",),
    "tag": ("name", "value"),
}
_NAMES = {
    "team": "team.id, team.name",
    "sub_token": "token.id, token.name",
    "model": "model.name",
    "task": "model.task",
    "hour": "used.hour",
    "day": "used.day",
    "month": "date_trunc('month', used.day)::date",
    "tag": "used.name || '=' || used.value",
}
DIMENSIONS = tuple(_KEYS)
# `tag:line` is the value of the tag `line`.
TAG = "tag:"
MAX_ROWS = 10_000

# The sums by the hour, by the day and by tags: of sub-tokens, and of the organization as a whole.
_OF_SUB_TOKENS = ("detection_hourlyusage", "detection_dailyusage", "detection_tagusage")
_OF_ORGANIZATION = ("detection_organizationhour", "detection_organizationday", "detection_organizationtag")

# A table of sums, its column of time, from when up to when, and the keys to group by.
_Part = tuple[str, str, Any, Any, Sequence[str]]
_COUNTS = ("calls", "succeeded", "failed", "cached", "charged_mtok")
_SUMS = ", ".join(f"coalesce(sum({name}), 0)::bigint AS {name}" for name in _COUNTS)


@dataclass(frozen=True, slots=True)
class UsageRow:
    """Calls and what they cost, of one group. `group` holds, by dimension: {"id", "name"} of a team or sub-token (None
    for no team), a model's name, a task, an hour (datetime), a day or the first day of a month (date), a tag as
    `name=value` (None for no tag), or the value of one tag (None for calls without it)."""

    group: dict[str, Any]
    calls: int
    succeeded: int
    failed: int
    cached: int
    charged_mtok: int


@dataclass(frozen=True, slots=True)
class Narrowed:
    """What of an organization's usage is asked for; None or empty is all of it."""

    sub_token_id: uuid.UUID | None = None
    team_id: uuid.UUID | None = None
    model: str | None = None


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of time that the sums can tell exactly: whole hours, or whole days where only days are kept.

    Days go from `first` up to but without `end`; `edges` are the hours before and after them.
    """

    since: dt.datetime
    until: dt.datetime
    first: dt.date
    end: dt.date
    edges: tuple[tuple[dt.datetime, dt.datetime], ...] = ()


def span(since: dt.datetime, until: dt.datetime, *, now: dt.datetime, whole_days: bool = False) -> Span:
    """Return the shortest span that holds the time from `since` up to `until`.

    It begins and ends on the hour; on the day (UTC) with `whole_days`, and where the hours are no longer kept. The day
    that is not over yet is taken whole: nothing was finished after now.
    """
    since, until = _hour(since), _next_hour(until)
    if whole_days or since < now - dt.timedelta(days=settings.CALLS_KEPT_DAYS):
        since, until = _day(since), _next_day(until)
    elif until > now:
        until = max(until, _next_day(now))
    first, end = _next_day(since), _day(until)
    if first > end:
        return Span(since, until, first.date(), first.date(), ((since, until),))
    edges = tuple(edge for edge in ((since, first), (end, until)) if edge[0] < edge[1])
    return Span(since, until, first.date(), end.date(), edges)


def usage(
    organization_id: uuid.UUID,
    *,
    within: Span,
    group_by: Sequence[str] = (),
    only: Narrowed = Narrowed(),
    limit: int = MAX_ROWS,
) -> list[UsageRow]:
    """Return the calls finished within a span, summed up by the dimensions in `group_by`.

    Without any, one row for all. At most `limit` rows, in the order of the dimensions. Grouped by `tag`, a call counts
    once for each of its tags; by `tag:NAME` just once. Raises KeyError for a dimension that there is not, and
    ValueError for tags by the hour, or two kinds of tag at once: neither is kept.
    """
    tags = [name for name in group_by if name == "tag" or name.startswith(TAG)]
    if tags and (len(tags) > 1 or "hour" in group_by):
        raise ValueError("tags go with days and months, one kind at a time")
    parameters: dict[str, Any] = {"org": organization_id, "limit": limit} | _conditions(only)[1]
    used = (
        _by_tag(tags[0], group_by, only, within, parameters) if tags else _by_time(group_by, only, within, parameters)
    )
    names = ["used.value" if name.startswith(TAG) else _NAMES[name] for name in group_by]
    columns = [name for name, dimension in zip(names, group_by, strict=True) for _ in range(_width(dimension))]
    sql = f"SELECT {', '.join([*names, _SUMS])} FROM ({used}) used {_joins(group_by)}"  # noqa: S608 of the constants above
    if columns:
        numbers = ", ".join(str(number + 1) for number in range(len(columns)))
        sql += f" GROUP BY {numbers} HAVING sum(calls) > 0 ORDER BY {numbers} LIMIT %(limit)s"
    with connection.cursor() as cursor:
        cursor.execute(sql, parameters)
        return [_row(row, group_by) for row in cursor.fetchall()]


def summed(rows: Sequence[UsageRow]) -> UsageRow:
    """Return the sum of rows that have no call in common."""
    return UsageRow({}, *(sum(getattr(row, name) for row in rows) for name in _COUNTS))


def _by_time(group_by: Sequence[str], only: Narrowed, within: Span, parameters: dict[str, Any]) -> str:
    """Return the query of what was used, by the keys that the dimensions need, each read once from the sums."""
    keys = _keys(group_by)
    hours, days, _tags = _tables(group_by, only)
    of_hours = ["(hour AT TIME ZONE 'UTC')::date AS day" if key == "day" else key for key in keys]
    if "hour" in group_by:
        parts: list[_Part] = [(hours, "hour", within.since, within.until, of_hours)]
    else:
        parts = [(hours, "hour", *edge, of_hours) for edge in within.edges]
        weeks = None
        if days == "detection_dailyusage" and "day" not in keys:
            weeks = _weeks(parameters["org"], within)
        if weeks is None:
            parts.append((days, "day", within.first, within.end, keys))
        else:
            begin, end = weeks
            parts.append(("detection_weeklyusage", "week", begin, end, keys))
            parts += [(days, "day", *edge, keys) for edge in ((within.first, begin), (end, within.end))]
    return " UNION ALL ".join(_part(*part, only, parameters, number) for number, part in enumerate(parts))


def _weeks(organization_id: uuid.UUID, within: Span) -> tuple[dt.date, dt.date] | None:
    """Return from which Monday to before which a span's weeks are summed up without a gap: the latest such stretch."""
    begin = within.first + dt.timedelta(days=-within.first.weekday() % 7)
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT monday::date FROM generate_series(%(begin)s::date::timestamp, %(last)s::date::timestamp, '7 days')"
            " AS monday WHERE EXISTS (SELECT FROM detection_weeklyusage"
            " WHERE org_id = %(org)s AND week = monday::date) ORDER BY 1 DESC",
            {"org": organization_id, "begin": begin, "last": within.end - dt.timedelta(days=7)},
        )
        mondays = [monday for (monday,) in cursor.fetchall()]
    if not mondays:
        return None
    end = first = mondays[0] + dt.timedelta(days=7)
    for monday in mondays:
        if monday != first - dt.timedelta(days=7):
            break
        first = monday
    return first, end


def _by_tag(tag: str, group_by: Sequence[str], only: Narrowed, within: Span, parameters: dict[str, Any]) -> str:
    """Return the query of what was used by tag, and of what bore none: the whole less what bore any."""
    others = _keys([name for name in group_by if name != tag])
    _hours, days, tags = _tables(group_by, only)
    keys = [*others, "name", "value"]
    if tag == "tag":
        chosen, marker = "name <> ''", "name = ''"
    else:
        parameters["tag"] = tag.removeprefix(TAG)
        chosen = marker = "name = %(tag)s"
    of_days = ("day", within.first, within.end)
    unnamed = [*others, "NULL::text AS name", "NULL::text AS value"]
    parts = [
        _part(tags, *of_days, keys, only, parameters, 0, f"AND {chosen}"),
        _part(days, *of_days, unnamed, only, parameters, 0),
        _part(tags, *of_days, unnamed, only, parameters, 0, f"AND {marker}", sign="-"),
    ]
    return " UNION ALL ".join(parts)


def _part(
    table: str,
    column: str,
    first: Any,
    end: Any,
    keys: Sequence[str],
    only: Narrowed,
    parameters: dict[str, Any],
    number: int,
    also: str = "",
    sign: str = "",
) -> str:
    parameters |= {f"first{number}": first, f"end{number}": end}
    sums = ", ".join(f"{sign}sum({name}) AS {name}" for name in _COUNTS)
    grouped = [key.partition(" AS ")[0] for key in keys if not key.startswith("NULL")]
    return (
        f"SELECT {', '.join([*keys, sums])} FROM {table}"  # noqa: S608 of the constants above
        f" WHERE org_id = %(org)s AND {column} >= %(first{number})s AND {column} < %(end{number})s"
        f" {_conditions(only)[0]} {also}" + (f" GROUP BY {', '.join(grouped)}" if grouped else "")
    )


def _tables(group_by: Sequence[str], only: Narrowed) -> tuple[str, str, str]:
    """Return the tables of the sums by the hour, the day and tags: the smallest that know what is asked for."""
    by_sub_token = {"team", "sub_token"} & set(group_by) or only.sub_token_id is not None or only.team_id is not None
    return _OF_SUB_TOKENS if by_sub_token else _OF_ORGANIZATION


def _conditions(only: Narrowed) -> tuple[str, dict[str, Any]]:
    found: list[str] = []
    parameters: dict[str, Any] = {}
    if only.sub_token_id is not None:
        found.append("AND sub_token_id = %(sub_token)s")
        parameters["sub_token"] = only.sub_token_id
    if only.team_id is not None:
        found.append("AND sub_token_id IN (SELECT id FROM billing_subtoken WHERE team_id = %(team)s)")
        parameters["team"] = only.team_id
    if only.model is not None:
        found.append(
            "AND model_version_id IN (SELECT v.id FROM detection_modelversion v"
            " JOIN detection_model m ON m.id = v.model_id WHERE m.name = %(model)s)"
        )
        parameters["model"] = only.model
    return " ".join(found), parameters


def _keys(group_by: Sequence[str]) -> list[str]:
    return list(dict.fromkeys(key for name in group_by for key in _KEYS[name]))


def _joins(group_by: Sequence[str]) -> str:
    joins = ""
    if {"team", "sub_token"} & set(group_by):
        joins += " JOIN billing_subtoken token ON token.id = used.sub_token_id"
    if "team" in group_by:
        joins += " LEFT JOIN tenants_team team ON team.id = token.team_id"
    if {"model", "task"} & set(group_by):
        joins += " JOIN detection_modelversion version ON version.id = used.model_version_id"
        joins += " JOIN detection_model model ON model.id = version.model_id"
    return joins


def _width(dimension: str) -> int:
    """Return how many columns a dimension has."""
    return 2 if dimension in ("team", "sub_token") else 1


def _row(row: tuple[Any, ...], group_by: Sequence[str]) -> UsageRow:
    values = iter(row)
    group: dict[str, Any] = {}
    for name in group_by:
        if _width(name) == 2:
            key, label = next(values), next(values)
            group[name] = None if key is None else {"id": str(key), "name": label}
        else:
            group[name] = next(values)
    return UsageRow(group, *values)


def _hour(moment: dt.datetime) -> dt.datetime:
    return moment.astimezone(dt.UTC).replace(minute=0, second=0, microsecond=0)


def _next_hour(moment: dt.datetime) -> dt.datetime:
    return _hour(moment + dt.timedelta(hours=1, microseconds=-1))


def _day(moment: dt.datetime) -> dt.datetime:
    return _hour(moment).replace(hour=0)


def _next_day(moment: dt.datetime) -> dt.datetime:
    """Return the beginning of a day, or of the next one unless this is it."""
    return _day(moment + dt.timedelta(days=1, microseconds=-1))
