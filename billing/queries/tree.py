"""The whole tree of an organization's accounts: what each has, holds and burns, alone and with all that is below it.

Read in the scope of the caller's transaction.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from django.db import connection

from billing.enums import AccountKind, AccountMode, SubTokenStatus

BURN_DAYS = 30


@dataclass
class Node:
    """One account and what hangs below it, amounts in mtok.

    `free_mtok` are its own Tokens that are neither expired, frozen nor held (0 for a capped one), `held_mtok` what
    running calls of its own hold, wherever those Tokens are, and `burned_mtok` what its own calls have cost in the last
    30 days (UTC, today included). The same with `all_` in front counts everything below as well. `available_mtok` is
    what a call could spend now.
    """

    account_id: uuid.UUID
    parent_id: uuid.UUID | None
    kind: str
    mode: str
    label: str
    team_id: uuid.UUID | None
    sub_token_id: uuid.UUID | None
    cap_mtok: int | None
    drawn_mtok: int
    expires_at: datetime | None
    closed_at: datetime | None
    revoked_at: datetime | None
    free_mtok: int
    held_mtok: int
    burned_mtok: int
    available_mtok: int = 0
    all_free_mtok: int = 0
    all_held_mtok: int = 0
    all_burned_mtok: int = 0
    children: list[Node] = field(default_factory=list)
    parent: Node | None = field(default=None, repr=False)
    status: SubTokenStatus = SubTokenStatus.ACTIVE

    @property
    def is_capped(self) -> bool:
        return self.mode == AccountMode.CAPPED

    @property
    def is_wallet(self) -> bool:
        return self.kind == AccountKind.ORG_WALLET

    @property
    def is_pool(self) -> bool:
        return self.kind == AccountKind.TEAM_POOL

    @property
    def room_mtok(self) -> int | None:
        """What a capped one may still draw by its own ceiling, None without one."""
        return None if self.cap_mtok is None else self.cap_mtok - self.drawn_mtok

    def above(self) -> list[Node]:
        """Return the nodes above it, the wallet first."""
        return [] if self.parent is None else [*self.parent.above(), self.parent]

    def walk(self) -> Iterator[Node]:
        """Return it and every node below it, each after the one that it hangs below."""
        waiting = [self]
        while waiting:
            node = waiting.pop()
            yield node
            waiting += reversed(node.children)


# Every part is aggregated once for the organization, so the cost grows with the rows and not with rows times accounts.
_TREE = """
WITH free AS (
    SELECT account_id, sum(posted_mtok - held_mtok)::bigint AS mtok FROM billing_lot
    WHERE org_id = %(org)s AND NOT spent AND NOT frozen AND (expires_at IS NULL OR expires_at > %(now)s) GROUP BY 1
),
held AS (
    SELECT account_id, sum(amount_mtok)::bigint AS mtok FROM billing_hold
    WHERE org_id = %(org)s AND status = 'held' GROUP BY 1
),
burned AS (
    SELECT account_id, sum(captured_mtok)::bigint AS mtok FROM billing_dailyburn
    WHERE org_id = %(org)s AND day >= %(since)s GROUP BY 1
)
SELECT a.id, a.parent_id, a.kind, a.mode, coalesce(s.name, t.name, a.label), a.team_id, s.id, a.cap_mtok, a.drawn_mtok,
       a.expires_at, a.closed_at, s.revoked_at,
       coalesce(free.mtok, 0), coalesce(held.mtok, 0), coalesce(burned.mtok, 0)
FROM billing_account a
LEFT JOIN billing_subtoken s ON s.org_id = a.org_id AND s.account_id = a.id
LEFT JOIN tenants_team t ON t.org_id = a.org_id AND t.id = a.team_id AND a.kind = 'team_pool'
LEFT JOIN free ON free.account_id = a.id
LEFT JOIN held ON held.account_id = a.id
LEFT JOIN burned ON burned.account_id = a.id
WHERE a.org_id = %(org)s AND a.kind IN ('org_wallet', 'team_pool', 'sub_token')
"""


def account_tree(organization_id: uuid.UUID, *, now: datetime) -> Node | None:
    """Return the wallet with everything below it, or None before it was opened; one query.

    Siblings: pools first, then sub-tokens, each by name.
    """
    since = now.astimezone(UTC).date() - timedelta(days=BURN_DAYS - 1)
    with connection.cursor() as cursor:
        cursor.execute(_TREE, {"org": organization_id, "now": now, "since": since})
        nodes = {row[0]: Node(*row) for row in cursor.fetchall()}
    wallet = None
    for node in nodes.values():
        if node.parent_id is None:
            wallet = node
        else:
            node.parent = nodes[node.parent_id]
            node.parent.children.append(node)
    if wallet is None:
        return None
    for node in nodes.values():
        node.children.sort(key=lambda child: (not child.is_pool, child.label.casefold(), child.account_id))
        node.status = _status(node, now)
    order = list(wallet.walk())
    for node in order:
        node.available_mtok = _available(node)
    for node in reversed(order):
        node.all_free_mtok = node.free_mtok + sum(child.all_free_mtok for child in node.children)
        node.all_held_mtok = node.held_mtok + sum(child.all_held_mtok for child in node.children)
        node.all_burned_mtok = node.burned_mtok + sum(child.all_burned_mtok for child in node.children)
    return wallet


def find_node(root: Node, account_id: uuid.UUID) -> Node | None:
    """Return the node of an account below a root, or None."""
    return next((node for node in root.walk() if node.account_id == account_id), None)


def _available(node: Node) -> int:
    if not node.is_capped:
        return node.free_mtok
    assert node.parent is not None, "a capped account hangs below another"
    above = node.parent.available_mtok
    return above if node.room_mtok is None else min(above, node.room_mtok)


def _status(node: Node, now: datetime) -> SubTokenStatus:
    if node.revoked_at is not None:
        return SubTokenStatus.REVOKED
    if node.expires_at is not None and node.expires_at <= now:
        return SubTokenStatus.EXPIRED
    return SubTokenStatus.ACTIVE if node.closed_at is None else SubTokenStatus.SUSPENDED
