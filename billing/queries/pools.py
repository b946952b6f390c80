"""Where a team's Tokens are. All read in the scope of the caller's transaction."""

from __future__ import annotations

import uuid

from billing.enums import AccountKind
from billing.errors import AccountUnknown
from billing.models import Account


def wallet() -> Account:
    """Return the wallet of the organization in scope. Raises AccountUnknown before it was opened."""
    found = Account.objects.filter(kind=AccountKind.ORG_WALLET).first()
    if found is None:
        raise AccountUnknown("This organization has no wallet yet.")
    return found


def pool_of(team_id: uuid.UUID) -> Account | None:
    """Return a team's pool, or None if it has none yet."""
    return Account.objects.filter(kind=AccountKind.TEAM_POOL, team_id=team_id).first()


def pools() -> dict[uuid.UUID, Account]:
    """Return the pools of all teams that have one, by team."""
    found = Account.objects.filter(kind=AccountKind.TEAM_POOL, team_id__isnull=False)
    return {pool.team_id: pool for pool in found if pool.team_id}
