"""Team pools: the accounts that teams' sub-tokens hang below."""

from __future__ import annotations

import uuid
from datetime import datetime

from django.db import transaction

from billing.enums import AccountKind, SubTokenMode
from billing.errors import AccountUnknown, PoolMissing, TeamUnknown
from billing.models import Account
from billing.queries.pools import pool_of, wallet
from billing.services.slices import open_slice
from tenants.actors import Actor
from tenants.models import Team
from tenants.services import audit


def open_pool(
    *,
    team_id: uuid.UUID,
    mode: SubTokenMode = SubTokenMode.CAPPED,
    mtok: int | None = None,
    actor: Actor,
    now: datetime,
) -> Account:
    """Return a team's pool; if it has none yet, open one with its own Tokens or with a quota (None: no quota).

    The pool of a team inside another hangs below that one's, which is opened as well; the others hang below the wallet.
    Needs the organization's scope. Locks the team, then as `allocate`. Raises TeamUnknown and what `allocate` raises.
    """
    with transaction.atomic():
        team = Team.objects.select_for_update().filter(id=team_id).first()
        if team is None:
            raise TeamUnknown("There is no such team.")
        pool = pool_of(team_id)
        if pool is not None:
            return pool
        parent = open_pool(team_id=team.parent_id, actor=actor, now=now) if team.parent_id else wallet()
        pool = open_slice(
            kind=AccountKind.TEAM_POOL,
            parent=parent,
            mode=mode,
            mtok=mtok,
            team_id=team_id,
            label=team.name,
            actor=actor,
            now=now,
        )
        audit.record(
            organization_id=team.organization_id,
            actor=actor,
            action="pool.opened",
            target_kind="team",
            target_id=team.id,
            after={"name": team.name, "mode": mode, "mtok": mtok},
            now=now,
        )
        return pool


def find_pool(team_id: uuid.UUID) -> Account:
    """Return a team's pool. Raises AccountUnknown if there is no such team, PoolMissing if it has none yet."""
    pool = pool_of(team_id)
    if pool is None:
        if Team.objects.filter(id=team_id).exists():
            raise PoolMissing("This team has no pool yet: open one first.")
        raise AccountUnknown("There is no such team.")
    return pool
