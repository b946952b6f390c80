"""What an organization or a team had at the month's beginning, got and gave, and had at its end.

    opening + what came in - what went out = closing

What was captured is read from the day's burn, which the captures write themselves, and everything else from the
entries: so a statement takes no longer with ten million calls than with ten. The closing that they lead to is held
against the balances as they are kept, less what came since; and all burn that there ever was against the account of
what was consumed. All is read in one statement, in the scope of the caller's transaction.

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
), other AS MATERIALIZED (  -- than captures: few, and with an index of their own
    SELECT e.account_id, e.amount_mtok, e.created_at, e.transfer_id, t.kind
    FROM billing_transfer t JOIN billing_entry e ON e.transfer_id = t.id
    WHERE t.org_id = %(org)s AND t.kind <> 'capture' AND e.org_id = %(org)s
), moved AS (  -- those among these accounts cancel out, transfer by transfer
    SELECT other.kind, sum(other.amount_mtok) AS net
    FROM other JOIN account ON account.id = other.account_id
    WHERE other.created_at >= %(start)s AND other.created_at < %(end)s
    GROUP BY other.kind, other.transfer_id
), line AS (
    SELECT kind, coalesce(sum(net) FILTER (WHERE net > 0), 0) AS came,
           coalesce(-sum(net) FILTER (WHERE net < 0), 0) AS went
    FROM moved WHERE net <> 0 GROUP BY kind
), burn AS MATERIALIZED (
    SELECT account_id, coalesce(sum(captured_mtok) FILTER (WHERE day < %(first)s), 0) AS before,
           coalesce(sum(captured_mtok) FILTER (WHERE day >= %(first)s AND day < %(following)s), 0) AS mtok,
           coalesce(sum(captures) FILTER (WHERE day >= %(first)s AND day < %(following)s), 0) AS captures,
           coalesce(sum(captured_mtok) FILTER (WHERE day >= %(following)s), 0) AS after
    FROM billing_dailyburn WHERE org_id = %(org)s GROUP BY 1
), mine_burned AS (
    SELECT burn.*, account.label, account.draws_outside FROM burn JOIN account ON account.id = burn.account_id
), sums AS (
    SELECT coalesce(sum(before) FILTER (WHERE NOT draws_outside), 0) AS before,
           coalesce(sum(after) FILTER (WHERE NOT draws_outside), 0) AS after,
           coalesce(sum(mtok) FILTER (WHERE draws_outside), 0) AS drawn,
           coalesce(sum(mtok) FILTER (WHERE NOT draws_outside), 0) AS burned
    FROM mine_burned
), others AS (
    SELECT coalesce(sum(amount_mtok) FILTER (WHERE created_at < %(start)s), 0) AS before,
           coalesce(sum(amount_mtok) FILTER (WHERE created_at >= %(end)s), 0) AS after
    FROM other JOIN account ON account.id = other.account_id
)
SELECT (others.before - sums.before)::bigint,
       (SELECT coalesce(jsonb_agg(jsonb_build_array(kind, came, went) ORDER BY kind), '[]') FROM line),
       ((SELECT coalesce(sum(posted_mtok), 0) FROM account) - others.after + sums.after)::bigint,
       sums.drawn::bigint, sums.burned::bigint,
       (SELECT coalesce(jsonb_agg(jsonb_build_array(label, captures, mtok) ORDER BY mtok DESC, label), '[]')
        FROM mine_burned WHERE captures > 0),
       (SELECT coalesce(sum(before + mtok + after), 0)::bigint FROM burn),
       (SELECT coalesce(sum(posted_mtok), 0)::bigint
               - coalesce((SELECT sum(amount_mtok) FROM other WHERE account_id = ANY (array_agg(a.id))), 0)::bigint
        FROM billing_account a WHERE a.org_id = %(org)s AND a.kind = 'consumed')
FROM others, sums
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

    `kept_closing_mtok` is the closing as the balances tell it. `burned_mtok` is all that the organization ever burned
    by the days' burns, and `consumed_mtok` the same as the account of what was consumed tells it. `final` is false
    while the month is not over.
    """

    month: dt.date
    organization: str
    team: str | None
    final: bool
    opening_mtok: int
    lines: list[Line]
    kept_closing_mtok: int
    burned_mtok: int
    consumed_mtok: int
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
        """What was captured, and what was drawn on accounts above."""
        return sum(line.out_mtok for line in self.lines if line.kind in (TransferKind.CAPTURE, DRAWN))

    @property
    def differences(self) -> list[tuple[str, int, int]]:
        """Where it does not reconcile: what is off, what the statement says, and what the ledger keeps."""
        pairs = [
            ("closing balance", self.closing_mtok, self.kept_closing_mtok),
            ("captures", self.burned_mtok, self.consumed_mtok),
            ("captures by account", self.captured_mtok, sum(spender.mtok for spender in self.spenders)),
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
    period = {"start": start, "end": end, "first": first, "following": following}
    with connection.cursor() as cursor:
        cursor.execute(_STATEMENT, {"org": organization_id, "team": team_id, **period})
        opening, lines, kept_closing, drawn, captured, spenders, burned, consumed = cursor.fetchone()
    found = [Line(*line) for line in json.loads(lines)]
    if captured:
        found.append(Line(TransferKind.CAPTURE.value, 0, captured))
    found.sort(key=lambda line: line.kind)
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
        burned_mtok=burned,
        consumed_mtok=consumed,
        spenders=[Spender(label, int(captures), int(mtok)) for label, captures, mtok in json.loads(spenders)],
    )
