"""What accounts have. All read in the scope of the caller's transaction."""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from django.db import connection
from django.utils import timezone

from billing.enums import GrantSource
from billing.models import Account
from billing.queries.debts import owed_mtok


@dataclass(frozen=True)
class Balance:
    """What an account can spend, all in mtok.

    `available_mtok` is what a hold could take now: unexpired lots that are neither held nor frozen, or less where a cap
    on the way leaves less. `held_mtok` is held through this account. `posted_mtok` is what it owns (0 for a capped
    account, which has `cap_mtok` and `drawn_mtok` instead).
    """

    account_id: uuid.UUID
    mode: str
    available_mtok: int
    held_mtok: int
    posted_mtok: int
    cap_mtok: int | None
    drawn_mtok: int
    expires_at: datetime | None
    closed_at: datetime | None


@dataclass(frozen=True)
class GrantBalance:
    """What is left of one grant anywhere in the organization: available, held and frozen, and how much is frozen."""

    id: uuid.UUID
    source: str
    amount_mtok: int
    remaining_mtok: int
    expires_at: datetime | None
    granted_at: datetime
    frozen_mtok: int = 0

    @property
    def source_label(self) -> str:
        """Return what its source is called."""
        return str(GrantSource(self.source).label)


@dataclass(frozen=True)
class OrganizationBalance:
    """What an organization has in all its accounts; `unallocated_mtok` is what its wallet itself can spend.

    While `debt_mtok` is above 0 nothing is spent, whatever is available.
    """

    available_mtok: int
    held_mtok: int
    unallocated_mtok: int
    grants: list[GrantBalance]
    frozen_mtok: int = 0
    debt_mtok: int = 0


# Holds of accounts below count for a capped account that they were drawn through.
_BALANCES = """
SELECT a.id, a.mode, billing_available(a.org_id, way.funding, way.path, %(now)s),
       CASE a.mode WHEN 'ring_fenced' THEN a.held_mtok ELSE (
           WITH RECURSIVE below AS (
               SELECT a.id UNION ALL
               SELECT child.id FROM below JOIN billing_account child ON child.parent_id = below.id
               WHERE child.mode = 'capped'
           )
           SELECT coalesce(sum(h.amount_mtok), 0)::bigint
           FROM below JOIN billing_hold h ON h.account_id = below.id AND h.status = 'held'
       ) END,
       a.posted_mtok, a.cap_mtok, a.drawn_mtok, a.expires_at, a.closed_at
FROM billing_account a
CROSS JOIN LATERAL billing_account_path(a.org_id, a.id) way
WHERE a.id = ANY (%(ids)s::uuid[]) AND way.funding IS NOT NULL
"""

_GRANTS = """
SELECT g.id, g.source, g.amount_mtok, sum(l.posted_mtok)::bigint, g.expires_at, g.created_at,
       coalesce(sum(l.posted_mtok - l.held_mtok) FILTER (WHERE l.frozen), 0)::bigint
FROM billing_lot l JOIN billing_grant g ON g.id = l.grant_id
WHERE l.org_id = %(org)s AND NOT l.spent
  AND (l.expires_at IS NULL OR l.expires_at > %(now)s OR l.held_mtok > 0 OR l.frozen)
GROUP BY g.id
ORDER BY g.priority, g.expires_at, g.created_at, g.id
"""

_TOTALS = """
SELECT coalesce(sum(l.posted_mtok - l.held_mtok) FILTER (WHERE alive), 0)::bigint,
       coalesce(sum(l.held_mtok), 0)::bigint,
       coalesce(sum(l.posted_mtok - l.held_mtok) FILTER (WHERE alive AND a.kind = 'org_wallet'), 0)::bigint,
       coalesce(sum(l.posted_mtok - l.held_mtok) FILTER (WHERE l.frozen), 0)::bigint
FROM billing_lot l
JOIN billing_account a ON a.id = l.account_id
CROSS JOIN LATERAL (
    SELECT NOT l.frozen AND (l.expires_at IS NULL OR l.expires_at > %(now)s) AS alive
) life
WHERE l.org_id = %(org)s AND NOT l.spent
"""


def balances(account_ids: Iterable[uuid.UUID], *, now: datetime | None = None) -> dict[uuid.UUID, Balance]:
    """Return the balances of those of the accounts that exist and can spend, by id, in one query."""
    with connection.cursor() as cursor:
        cursor.execute(_BALANCES, {"ids": list(account_ids), "now": now or timezone.now()})
        return {row[0]: Balance(*row) for row in cursor.fetchall()}


def balance(account_id: uuid.UUID, *, now: datetime | None = None) -> Balance:
    """Return the balance of one account. Raises Account.DoesNotExist."""
    found = balances([account_id], now=now)
    if not found:
        raise Account.DoesNotExist
    return found[account_id]


@dataclass(frozen=True)
class OrganizationTotals:
    """What an organization can spend, what running calls hold, what is frozen, and what of the first its wallet has."""

    available_mtok: int
    held_mtok: int
    unallocated_mtok: int
    frozen_mtok: int


def organization_totals(organization_id: uuid.UUID, *, now: datetime | None = None) -> OrganizationTotals:
    """Return what an organization has in all its accounts (mtok)."""
    with connection.cursor() as cursor:
        cursor.execute(_TOTALS, {"org": organization_id, "now": now or timezone.now()})
        return OrganizationTotals(*cursor.fetchone())


def organization_balance(organization_id: uuid.UUID, *, now: datetime | None = None) -> OrganizationBalance:
    """Return what an organization has, over all accounts and by grant (in burn order; used-up ones are left out)."""
    now = now or timezone.now()
    totals = organization_totals(organization_id, now=now)
    with connection.cursor() as cursor:
        cursor.execute(_GRANTS, {"org": organization_id, "now": now})
        grants = [GrantBalance(*row) for row in cursor.fetchall()]
    return OrganizationBalance(
        available_mtok=totals.available_mtok,
        held_mtok=totals.held_mtok,
        unallocated_mtok=totals.unallocated_mtok,
        grants=grants,
        frozen_mtok=totals.frozen_mtok,
        debt_mtok=owed_mtok(organization_id),
    )
