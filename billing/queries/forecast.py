"""On which day an account's Tokens run out. Everything here needs the organization's scope.

    pace       = Tokens captured through the account in the last 7 days (UTC, today included)
                 / days since the first of those captures (1 to 7)
    runs out   = the first day on which what is left, burned at this pace in burn order, has no more for the pace;
                 Tokens that expire before they are burned are lost, and a cap on the way ends it earlier

A week has every weekday once, so a line that rests on Sundays is neither over- nor underestimated; a new account is
judged by the days that it has. What was captured through an account is what it and the capped accounts that draw on it
were asked for; for the organization, everything.
"""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from django.db import connection
from django.utils import timezone

PACE_DAYS = 7
# Nobody plans further ahead, and dates end somewhere.
FARTHEST_DAYS = 3650


@dataclass(frozen=True)
class Forecast:
    """When an account has nothing left. `runs_out_on` is None where nothing was spent lately, or not for ten years.

    `burn_per_day_mtok` is the pace, rounded to the nearest thousandth; `basis_days` the days that it was taken from (0
    without any). `available_mtok` is what there is now, and `expiring_mtok` how much of it expires before it would be
    burned. `lasts_days` are the whole days until then, None without a pace.
    """

    runs_out_on: dt.date | None
    burn_per_day_mtok: int
    basis_days: int
    available_mtok: int
    expiring_mtok: int = 0
    lasts_days: int | None = None


@dataclass(frozen=True)
class _Share:
    """Tokens of one lot that are free, and when they expire."""

    mtok: int
    expires_at: dt.datetime | None


# What each account can spend: the free lots of the account that pays for it in burn order, and the room that the caps
# on the way leave; and what was captured through it lately.
_ACCOUNTS = """
SELECT asked.id,
       (SELECT min(capped.cap_mtok - capped.drawn_mtok) FROM billing_account capped WHERE capped.id = ANY (way.path)),
       lots.free, lots.expires, burn.mtok, burn.first
FROM billing_account asked
CROSS JOIN LATERAL billing_account_path(asked.org_id, asked.id) way
CROSS JOIN LATERAL (
    SELECT coalesce(array_agg(l.posted_mtok - l.held_mtok ORDER BY l.priority, l.expires_at, l.granted_at, l.id), '{}')
               AS free,
           coalesce(array_agg(l.expires_at ORDER BY l.priority, l.expires_at, l.granted_at, l.id), '{}') AS expires
    FROM billing_lot l
    WHERE l.account_id = way.funding AND NOT l.spent AND NOT l.frozen
      AND (l.expires_at IS NULL OR l.expires_at > %(now)s)
) lots
CROSS JOIN LATERAL (
    WITH RECURSIVE below AS (
        SELECT asked.id
        UNION ALL
        SELECT child.id FROM below JOIN billing_account child ON child.parent_id = below.id AND child.mode = 'capped'
    )
    SELECT coalesce(sum(d.captured_mtok), 0)::bigint AS mtok, min(d.day) AS first
    FROM below JOIN billing_dailyburn d ON d.account_id = below.id
    WHERE d.org_id = asked.org_id AND d.day BETWEEN %(since)s AND %(today)s
) burn
WHERE asked.id = ANY (%(ids)s::uuid[]) AND way.funding IS NOT NULL
"""

# The organization's lots are spent side by side, so they are taken as one account's.
_ORGANIZATION = """
SELECT coalesce(array_agg(free ORDER BY priority, expires_at, granted_at) FILTER (WHERE alive), '{}'),
       coalesce(array_agg(expires_at ORDER BY priority, expires_at, granted_at) FILTER (WHERE alive), '{}'),
       coalesce(sum(held), 0)::bigint, burn.mtok, burn.first
FROM (
    SELECT coalesce(sum(captured_mtok), 0)::bigint AS mtok, min(day) AS first FROM billing_dailyburn
    WHERE org_id = %(org)s AND day BETWEEN %(since)s AND %(today)s
) burn
LEFT JOIN (
    SELECT sum(posted_mtok - held_mtok)::bigint AS free, sum(held_mtok) AS held, priority, expires_at, granted_at,
           NOT frozen AND (expires_at IS NULL OR expires_at > %(now)s) AS alive
    FROM billing_lot
    WHERE org_id = %(org)s AND NOT spent
    GROUP BY grant_id, priority, expires_at, granted_at, frozen
) lot ON true
GROUP BY burn.mtok, burn.first
"""


def forecasts(account_ids: Iterable[uuid.UUID], *, now: dt.datetime | None = None) -> dict[uuid.UUID, Forecast]:
    """Return the forecasts of those of the accounts that exist and can spend, by id, in one query."""
    now = now or timezone.now()
    with connection.cursor() as cursor:
        cursor.execute(_ACCOUNTS, {"ids": list(account_ids), **_window(now)})
        return {
            account_id: _forecast(_shares(free, expires), room, burned, first, now)
            for account_id, room, free, expires, burned, first in cursor.fetchall()
        }


def forecast(account_id: uuid.UUID, *, now: dt.datetime | None = None) -> Forecast | None:
    """Return the forecast of one account, None if there is no such account or it cannot spend."""
    return forecasts([account_id], now=now).get(account_id)


def organization_forecast(organization_id: uuid.UUID, *, now: dt.datetime) -> Forecast:
    """Return the forecast of an organization: all its Tokens wherever they are, at the pace of all its calls."""
    return organization_outlook(organization_id, now=now)[0]


def organization_outlook(organization_id: uuid.UUID, *, now: dt.datetime) -> tuple[Forecast, int]:
    """Return the forecast of an organization and what is held of its Tokens (mtok), in one query."""
    with connection.cursor() as cursor:
        cursor.execute(_ORGANIZATION, {"org": organization_id, **_window(now)})
        free, expires, held, burned, first = cursor.fetchone()
    return _forecast(_shares(free, expires), None, burned, first, now), held


def _window(now: dt.datetime) -> dict[str, Any]:
    today = now.astimezone(dt.UTC).date()
    return {"now": now, "today": today, "since": today - dt.timedelta(days=PACE_DAYS - 1)}


def _shares(free: Sequence[int], expires: Sequence[dt.datetime | None]) -> list[_Share]:
    return [_Share(mtok, expires_at) for mtok, expires_at in zip(free, expires, strict=True)]


def _forecast(
    shares: Sequence[_Share], room_mtok: int | None, burned_mtok: int, first: dt.date | None, now: dt.datetime
) -> Forecast:
    today = now.astimezone(dt.UTC).date()
    available = sum(share.mtok for share in shares)
    if room_mtok is not None:
        available = max(0, min(available, room_mtok))
    if first is None or not burned_mtok:
        return Forecast(None, 0, 0, available)
    days = (today - first).days + 1
    per_day = (2 * burned_mtok + days) // (2 * days)
    lasting, lost = _lasting_days(shares, room_mtok, burned_mtok, days, now)
    runs_out_on = None if lasting > FARTHEST_DAYS else today + dt.timedelta(days=lasting)
    return Forecast(runs_out_on, per_day, days, available, lost, lasting)


def _lasting_days(
    shares: Sequence[_Share], room_mtok: int | None, burned_mtok: int, days: int, now: dt.datetime
) -> tuple[int, int]:
    """Return for how many whole days the Tokens last at a pace of `burned_mtok` in `days`, and what expires unburned.

    In integers: what is burned by a moment is seconds x burned / (days x 86,400). Shares burn one after the other; one
    that expires before its turn is over ends there, and what is left of it is lost.
    """
    seconds_each_day = days * 86_400
    elapsed, burned, lost = 0, 0, 0
    for share in shares:
        wanted = share.mtok if room_mtok is None else min(share.mtok, room_mtok - burned)
        if wanted <= 0:
            continue
        lasts = wanted * seconds_each_day // burned_mtok
        if share.expires_at is not None:
            left = max(0, int((share.expires_at - now).total_seconds()) - elapsed)
            if left < lasts:
                used = left * burned_mtok // seconds_each_day
                lost += share.mtok - used
                wanted, lasts = used, left
        burned += wanted
        elapsed += lasts
    return elapsed // 86_400, lost
