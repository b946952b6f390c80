"""Recomputing one organization's ledger from its entries and open holds: the proof behind `manage.py ledger_verify`."""

from __future__ import annotations

import json
import uuid
from dataclasses import astuple, dataclass
from typing import Any

from django.db import connection

# Enough to see what is wrong; the count is always complete.
SHOWN = 100

# One statement, hence one snapshot: traffic goes on while it runs and cannot look like an error. Every check is a
# subquery of (name, id of the row that is off, what the entries and holds say, what the row says).
_VERIFY = """
WITH
entry AS MATERIALIZED (
    SELECT account_id, grant_id, sum(amount_mtok) AS mtok FROM billing_entry WHERE org_id = %(org)s GROUP BY 1, 2
),
account AS (SELECT * FROM billing_account WHERE org_id = %(org)s),
lot AS (SELECT * FROM billing_lot WHERE org_id = %(org)s),
hold AS (SELECT * FROM billing_hold WHERE org_id = %(org)s),
open_part AS (
    SELECT (pair ->> 0)::uuid AS lot_id, sum((pair ->> 1)::bigint) AS mtok
    FROM hold CROSS JOIN LATERAL jsonb_array_elements(hold.lots) AS pair
    WHERE hold.status = 'held' GROUP BY 1
),
leg AS MATERIALIZED (
    SELECT transfer_id, count(*) AS legs, sum(amount_mtok) AS mtok, sum(greatest(amount_mtok, 0)) AS moved
    FROM billing_entry WHERE org_id = %(org)s GROUP BY 1
),
transfer AS (SELECT * FROM billing_transfer WHERE org_id = %(org)s),
drawn AS (
    SELECT drawing.account_id, sum(drawing.mtok) AS mtok FROM (
        SELECT unnest(path) AS account_id, CASE status WHEN 'held' THEN amount_mtok ELSE captured_mtok END AS mtok
        FROM hold WHERE path <> '{}' AND status IN ('held', 'captured')
        UNION ALL
        SELECT unnest(transfer.path),
               CASE WHEN transfer.kind IN ('reclaim', 'reversal') THEN -leg.moved ELSE leg.moved END
        FROM transfer JOIN leg ON leg.transfer_id = transfer.id WHERE transfer.path <> '{}'
    ) drawing GROUP BY 1
),
by_kind AS (
    SELECT account.kind, entry.grant_id, sum(entry.mtok) AS mtok
    FROM entry JOIN account ON account.id = entry.account_id GROUP BY 1, 2
),
in_lots AS (
    SELECT grant_id, sum(posted_mtok) AS posted, sum(held_mtok) AS held,
           sum(posted_mtok - held_mtok) FILTER (WHERE frozen) AS frozen
    FROM lot GROUP BY 1
),
frozen AS (SELECT DISTINCT grant_id FROM billing_freeze WHERE org_id = %(org)s AND thawed_at IS NULL),
spendable AS (  -- by the entries, the open holds and the freezes, whatever lots say
    SELECT owned.account_id, sum(owned.mtok) AS mtok FROM (
        SELECT entry.account_id, entry.grant_id, entry.mtok FROM entry
        UNION ALL
        SELECT lot.account_id, lot.grant_id, -open_part.mtok FROM open_part JOIN lot ON lot.id = open_part.lot_id
    ) owned
    JOIN billing_grant g ON g.id = owned.grant_id AND g.org_id = %(org)s
    WHERE (g.expires_at IS NULL OR g.expires_at > now()) AND g.id NOT IN (SELECT grant_id FROM frozen)
    GROUP BY 1
),
settled AS (
    SELECT substr(transfer.reference, 6)::uuid AS debt_id, sum(entry.amount_mtok) AS mtok
    FROM transfer
    JOIN billing_entry entry ON entry.transfer_id = transfer.id
    JOIN account ON account.id = entry.account_id AND account.kind = 'refunded'
    WHERE transfer.kind IN ('settlement', 'reversal') AND transfer.reference LIKE 'debt:%%'
    GROUP BY 1
),
off (name, subject, expected, actual) AS (
    SELECT 'transfer has legs that sum to zero', transfer.id, 0, coalesce(leg.mtok, 0)
    FROM transfer LEFT JOIN leg ON leg.transfer_id = transfer.id
    WHERE coalesce(leg.legs, 0) < 2 OR leg.mtok <> 0
    UNION ALL
    SELECT 'account posted = its entries', account.id, coalesce(sum(entry.mtok), 0), account.posted_mtok
    FROM account LEFT JOIN entry ON entry.account_id = account.id
    GROUP BY account.id, account.posted_mtok HAVING coalesce(sum(entry.mtok), 0) <> account.posted_mtok
    UNION ALL
    SELECT 'account held = open holds on it', account.id, coalesce(sum(hold.amount_mtok), 0), account.held_mtok
    FROM account LEFT JOIN hold ON hold.funding_id = account.id AND hold.status = 'held'
    GROUP BY account.id, account.held_mtok HAVING coalesce(sum(hold.amount_mtok), 0) <> account.held_mtok
    UNION ALL
    SELECT 'account drawn = holds and allocations through it', account.id, coalesce(drawn.mtok, 0), account.drawn_mtok
    FROM account LEFT JOIN drawn ON drawn.account_id = account.id
    WHERE coalesce(drawn.mtok, 0) <> account.drawn_mtok
    UNION ALL
    SELECT 'account available is not negative', account.id, 0, account.posted_mtok - account.held_mtok
    FROM account
    WHERE account.kind IN ('org_wallet', 'team_pool', 'sub_token') AND account.posted_mtok < account.held_mtok
    UNION ALL
    SELECT 'account drawn is within its cap', account.id, account.cap_mtok, account.drawn_mtok
    FROM account WHERE account.drawn_mtok > account.cap_mtok
    UNION ALL
    SELECT 'lot posted = entries of its account and grant', coalesce(lot.id, owned.account_id),
           coalesce(owned.mtok, 0), coalesce(lot.posted_mtok, 0)
    FROM lot FULL JOIN (
        SELECT entry.* FROM entry JOIN account ON account.id = entry.account_id
        WHERE account.kind IN ('org_wallet', 'team_pool', 'sub_token')
    ) owned ON owned.account_id = lot.account_id AND owned.grant_id = lot.grant_id
    WHERE coalesce(owned.mtok, 0) <> coalesce(lot.posted_mtok, 0)
    UNION ALL
    SELECT 'lot held = parts of open holds', coalesce(lot.id, open_part.lot_id),
           coalesce(open_part.mtok, 0), coalesce(lot.held_mtok, 0)
    FROM lot FULL JOIN open_part ON open_part.lot_id = lot.id
    WHERE coalesce(open_part.mtok, 0) <> coalesce(lot.held_mtok, 0)
    UNION ALL
    SELECT 'hold = the parts it took', hold.id, parts.mtok, hold.amount_mtok
    FROM hold CROSS JOIN LATERAL (
        SELECT coalesce(sum((pair ->> 1)::bigint), 0) AS mtok FROM jsonb_array_elements(hold.lots) AS pair
    ) parts
    WHERE parts.mtok <> hold.amount_mtok
    UNION ALL
    SELECT 'captured hold = its transfer', hold.id, coalesce(leg.moved, 0), hold.captured_mtok
    FROM hold LEFT JOIN leg ON leg.transfer_id = hold.transfer_id
    WHERE coalesce(leg.moved, 0) <> hold.captured_mtok
    UNION ALL
    SELECT 'capture has its hold', transfer.id, 1, count(hold.id)
    FROM transfer LEFT JOIN hold ON hold.transfer_id = transfer.id
    WHERE transfer.kind = 'capture' GROUP BY transfer.id HAVING count(hold.id) <> 1
    UNION ALL
    SELECT 'grant = what was issued', g.id, coalesce(-by_kind.mtok, 0), g.amount_mtok
    FROM billing_grant g LEFT JOIN by_kind ON by_kind.grant_id = g.id AND by_kind.kind = 'issued'
    WHERE g.org_id = %(org)s AND coalesce(-by_kind.mtok, 0) <> g.amount_mtok
    UNION ALL
    SELECT 'account can spend its entries less holds and frozen', account.id,
           coalesce(spendable.mtok, 0), coalesce(billing_available(%(org)s, account.id, '{}', now()), 0)
    FROM account LEFT JOIN spendable ON spendable.account_id = account.id
    WHERE account.kind IN ('org_wallet', 'team_pool', 'sub_token') AND account.mode = 'ring_fenced'
      AND coalesce(spendable.mtok, 0) <> coalesce(billing_available(%(org)s, account.id, '{}', now()), 0)
    UNION ALL
    SELECT 'lot is frozen with its grant', lot.id, (lot.grant_id IN (SELECT grant_id FROM frozen))::int, lot.frozen::int
    FROM lot WHERE lot.frozen <> (lot.grant_id IN (SELECT grant_id FROM frozen))
    UNION ALL
    SELECT 'debt settled = its settlements', debt.id, coalesce(settled.mtok, 0), debt.settled_mtok
    FROM (SELECT * FROM billing_debt WHERE org_id = %(org)s) debt LEFT JOIN settled ON settled.debt_id = debt.id
    WHERE coalesce(settled.mtok, 0) <> debt.settled_mtok
    UNION ALL
    SELECT 'debts are no more than their grant was spent', spent.grant_id, greatest(0, spent.mtok), spent.owed
    FROM (  -- what captures and settlements took, whatever was put right since
        SELECT owing.grant_id, owing.mtok AS owed, (
            SELECT coalesce(sum(e.amount_mtok), 0)
            FROM billing_entry e
            JOIN account ON account.id = e.account_id
            JOIN transfer ON transfer.id = e.transfer_id
            WHERE e.org_id = %(org)s AND e.grant_id = owing.grant_id AND e.amount_mtok > 0
              AND (account.kind = 'consumed' OR account.kind = 'refunded' AND transfer.kind = 'settlement')
        ) AS mtok
        FROM (
            SELECT grant_id, sum(owed_mtok) AS mtok FROM billing_debt
            WHERE org_id = %(org)s AND voided_at IS NULL GROUP BY 1
        ) owing
    ) spent
    WHERE spent.owed > spent.mtok
    UNION ALL
    SELECT 'grant = available + held + frozen + consumed + expired + refunded', g.id,
           g.amount_mtok, coalesce(in_lots.posted, 0) + coalesce(sunk.mtok, 0)
    FROM billing_grant g
    LEFT JOIN in_lots ON in_lots.grant_id = g.id
    LEFT JOIN (
        SELECT grant_id, sum(mtok) AS mtok FROM by_kind WHERE kind IN ('consumed', 'expired', 'refunded') GROUP BY 1
    ) sunk ON sunk.grant_id = g.id
    WHERE g.org_id = %(org)s AND coalesce(in_lots.posted, 0) + coalesce(sunk.mtok, 0) <> g.amount_mtok
    UNION ALL
    SELECT 'daily burn = captures of that day', coalesce(burn.id, captured.account_id),
           coalesce(captured.mtok, 0), coalesce(burn.captured_mtok, 0)
    FROM (SELECT * FROM billing_dailyburn WHERE org_id = %(org)s) burn
    FULL JOIN (
        SELECT account_id, (resolved_at AT TIME ZONE 'UTC')::date AS day, sum(captured_mtok) AS mtok
        FROM hold WHERE status = 'captured' GROUP BY 1, 2
    ) captured ON captured.account_id = burn.account_id AND captured.day = burn.day
    WHERE coalesce(captured.mtok, 0) <> coalesce(burn.captured_mtok, 0)
),
shown AS (SELECT * FROM off ORDER BY name, subject LIMIT %(shown)s)
SELECT (SELECT coalesce(sum(amount_mtok), 0)::bigint FROM billing_grant WHERE org_id = %(org)s),
       (SELECT coalesce(sum(posted - held - coalesce(frozen, 0)), 0)::bigint FROM in_lots),
       (SELECT coalesce(sum(held), 0)::bigint FROM in_lots),
       (SELECT coalesce(sum(frozen), 0)::bigint FROM in_lots),
       (SELECT coalesce(sum(mtok), 0)::bigint FROM by_kind WHERE kind = 'consumed'),
       (SELECT coalesce(sum(mtok), 0)::bigint FROM by_kind WHERE kind = 'expired'),
       (SELECT coalesce(sum(mtok), 0)::bigint FROM by_kind WHERE kind = 'refunded'),
       (SELECT count(*) FROM off),
       (SELECT coalesce(jsonb_agg(jsonb_build_object(
            'check', name, 'subject', subject, 'expected_mtok', expected, 'actual_mtok', actual
        ) ORDER BY name, subject), '[]') FROM shown)
"""


@dataclass(frozen=True)
class LedgerTotals:
    """A ledger's sums in mtok: granted = available + held + frozen + consumed + expired + refunded."""

    granted_mtok: int = 0
    available_mtok: int = 0
    held_mtok: int = 0
    frozen_mtok: int = 0
    consumed_mtok: int = 0
    expired_mtok: int = 0
    refunded_mtok: int = 0

    def __add__(self, other: LedgerTotals) -> LedgerTotals:
        return LedgerTotals(*(a + b for a, b in zip(astuple(self), astuple(other), strict=True)))


@dataclass(frozen=True)
class Recomputed:
    """One organization's ledger as its entries and open holds tell it, and the first of the rows that say otherwise.

    A discrepancy is `{"check", "subject", "expected_mtok", "actual_mtok"}`.
    """

    totals: LedgerTotals
    discrepancy_count: int
    discrepancies: list[dict[str, Any]]


def recompute(organization_id: uuid.UUID) -> Recomputed:
    """Recompute one organization's ledger, in the scope of the caller's transaction."""
    with connection.cursor() as cursor:
        cursor.execute(_VERIFY, {"org": organization_id, "shown": SHOWN})
        *sums, count, discrepancies = cursor.fetchone()
    return Recomputed(LedgerTotals(*sums), count, json.loads(discrepancies))
