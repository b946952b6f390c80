"""What an organization or a team had at the month's beginning, got and gave, and had at its end.

    opening + what came in - what went out = closing

Opening and movements are summed from the entries; the closing that they lead to is held against the balances as they
are kept, less the entries since, and the captures against what the captures themselves wrote into the day's burn. All
is read in one statement, in the scope of the caller's transaction.

A team's accounts are its pool, everything below it, and its sub-tokens. Movements among them cancel out. What its
sub-tokens draw on accounts above, because they have no Tokens of their own, comes in and is spent in the same moment.
"""

from __future__ import annotations

import datetime as dt
import json
import re
import uuid
from dataclasses import dataclass

from django.db import connection

from billing.enums import TransferKind

_STATEMENT = """
WITH RECURSIVE mine AS (
    SELECT id FROM billing_account
    WHERE org_id = %(org)s AND kind IN ('org_wallet', 'team_pool', 'sub_token')
      AND (%(team)s::uuid IS NULL OR team_id = %(team)s
           OR id IN (SELECT account_id FROM billing_subtoken WHERE org_id = %(org)s AND team_id = %(team)s))
    UNION
    SELECT child.id FROM mine JOIN billing_account child ON child.parent_id = mine.id
), account AS MATERIALIZED (
    SELECT a.id, a.posted_mtok, way.funding NOT IN (SELECT id FROM mine) AS draws_outside,
           coalesce(nullif(a.label, ''), a.kind) AS label
    FROM mine JOIN billing_account a USING (id) CROSS JOIN LATERAL billing_account_path(a.org_id, a.id) way
), entry AS (
    SELECT e.amount_mtok, e.created_at, e.transfer_id, t.kind
    FROM billing_entry e JOIN account ON account.id = e.account_id JOIN billing_transfer t ON t.id = e.transfer_id
    WHERE e.org_id = %(org)s AND e.created_at >= %(start)s AND e.created_at < %(end)s
), moved AS (  -- captures only ever take; of the others, those among these accounts cancel out, transfer by transfer
    SELECT kind, sum(amount_mtok) AS net
    FROM entry GROUP BY kind, CASE WHEN kind = 'capture' THEN NULL ELSE transfer_id END
), line AS (
    SELECT kind, coalesce(sum(net) FILTER (WHERE net > 0), 0) AS came,
           coalesce(-sum(net) FILTER (WHERE net < 0), 0) AS went
    FROM moved WHERE net <> 0 GROUP BY kind
), burn AS (
    SELECT account.id, account.label, account.draws_outside, sum(d.captured_mtok) AS mtok, sum(d.captures) AS captures
    FROM billing_dailyburn d JOIN account ON account.id = d.account_id
    WHERE d.org_id = %(org)s AND d.day >= (%(start)s::timestamptz AT TIME ZONE 'UTC')::date
      AND d.day < (%(end)s::timestamptz AT TIME ZONE 'UTC')::date
    GROUP BY 1, 2, 3
)
SELECT (SELECT coalesce(sum(e.amount_mtok), 0)::bigint FROM billing_entry e JOIN account ON account.id = e.account_id
        WHERE e.org_id = %(org)s AND e.created_at < %(start)s),
       (SELECT coalesce(jsonb_agg(jsonb_build_array(kind, came, went) ORDER BY kind), '[]') FROM line),
       (SELECT coalesce(sum(posted_mtok), 0)::bigint FROM account)
       - (SELECT coalesce(sum(e.amount_mtok), 0)::bigint FROM billing_entry e JOIN account ON account.id = e.account_id
          WHERE e.org_id = %(org)s AND e.created_at >= %(end)s),
       (SELECT coalesce(sum(mtok) FILTER (WHERE draws_outside), 0)::bigint FROM burn),
       (SELECT coalesce(sum(mtok) FILTER (WHERE NOT draws_outside), 0)::bigint FROM burn),
       (SELECT coalesce(jsonb_agg(jsonb_build_array(label, captures, mtok) ORDER BY mtok DESC, label), '[]') FROM burn)
"""


@dataclass(frozen=True)
class Line:
    """What came in and went out (mtok) by transfers of one kind; `drawn` is what was drawn on accounts above."""

    kind: str
    in_mtok: int
    out_mtok: int


@dataclass(frozen=True)
class Spender:
    """What was captured through one account in the month: mtok, in so many captures."""

    label: str
    captures: int
    mtok: int


@dataclass(frozen=True)
class Statement:
    """One month (UTC) of an organization, or of one of its teams. All amounts are mtok.

    `kept_closing_mtok` is the closing as the balances tell it, and `burned_mtok` what the day's burns say was captured
    from these accounts: both must be what the entries say. `final` is false while the month is not over.
    """

    month: dt.date
    organization: str
    team: str | None
    final: bool
    opening_mtok: int
    lines: list[Line]
    kept_closing_mtok: int
    burned_mtok: int
    spenders: list[Spender]

    @property
    def in_mtok(self) -> int:
        return sum(line.in_mtok for line in self.lines)

    @property
    def out_mtok(self) -> int:
        return sum(line.out_mtok for line in self.lines)

    @property
    def closing_mtok(self) -> int:
        return self.opening_mtok + self.in_mtok - self.out_mtok

    @property
    def captured_mtok(self) -> int:
        """What the entries say was captured, and what was drawn on accounts above."""
        return sum(line.out_mtok for line in self.lines if line.kind in (TransferKind.CAPTURE, DRAWN))

    @property
    def differences(self) -> list[tuple[str, int, int]]:
        """Where it does not reconcile: what is off, what the entries say, and what is kept beside them."""
        pairs = [
            ("closing balance", self.closing_mtok, self.kept_closing_mtok),
            ("captures", self.captured_mtok, self.burned_mtok),
            ("captures by account", self.burned_mtok, sum(spender.mtok for spender in self.spenders)),
        ]
        return [pair for pair in pairs if pair[1] != pair[2]]


DRAWN = "drawn"
_MONTH = re.compile(r"(20\d\d)-(0[1-9]|1[0-2])", re.ASCII)


def read_month(text: str) -> dt.date:
    """Return the first day of a month such as 2026-10. Raises ValueError."""
    found = _MONTH.fullmatch(text)
    if found is None:
        raise ValueError(text)
    return dt.date(int(found[1]), int(found[2]), 1)


def last_month(now: dt.datetime) -> dt.date:
    """Return the first day of the last month (UTC) that is over."""
    return (now.astimezone(dt.UTC).date().replace(day=1) - dt.timedelta(days=1)).replace(day=1)


def statement(
    organization_id: uuid.UUID,
    *,
    organization: str,
    month: dt.date,
    now: dt.datetime,
    team_id: uuid.UUID | None = None,
    team: str | None = None,
) -> Statement:
    """Return a month's statement; `month` is any day of it, and may be the one that is not over yet."""
    first = month.replace(day=1)
    following = (first + dt.timedelta(days=31)).replace(day=1)
    start, end = (dt.datetime.combine(day, dt.time(), dt.UTC) for day in (first, following))
    with connection.cursor() as cursor:
        cursor.execute(_STATEMENT, {"org": organization_id, "team": team_id, "start": start, "end": end})
        opening, lines, kept_closing, drawn, burned, spenders = cursor.fetchone()
    found = [Line(*line) for line in json.loads(lines)]
    if drawn:
        found.append(Line(DRAWN, drawn, drawn))
    return Statement(
        month=first,
        organization=organization,
        team=team,
        final=now >= end,
        opening_mtok=opening,
        lines=found,
        kept_closing_mtok=kept_closing,
        burned_mtok=burned + drawn,
        spenders=[Spender(label, int(captures), int(mtok)) for label, captures, mtok in json.loads(spenders)],
    )
