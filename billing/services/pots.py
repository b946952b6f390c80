"""What accounts can give away: their free lots, taken in burn order."""

from __future__ import annotations

import uuid
from collections import defaultdict
from collections.abc import Iterable
from datetime import datetime
from typing import NamedTuple

from django.db.models import F, Q

from billing.errors import InsufficientTokens
from billing.models import Account, Grant, Lot
from billing.services.transfers import Leg


class Part(NamedTuple):
    """So much of a grant."""

    grant: Grant
    mtok: int


class Pot:
    """The free, unexpired Tokens of one locked account, handed out in burn order: priority, then expiry, then age."""

    def __init__(self, account: Account, parts: Iterable[Part] = ()) -> None:
        self.account = account
        self._parts = [part for part in parts if part.mtok]

    @property
    def free_mtok(self) -> int:
        """How much is left in it."""
        return sum(part.mtok for part in self._parts)

    def free_of(self, grant: Grant) -> int:
        """How much of one grant is left in it."""
        return sum(part.mtok for part in self._parts if part.grant.id == grant.id)

    def take(self, mtok: int | None = None) -> list[Part]:
        """Take so much out (None: all). Raises InsufficientTokens, and takes nothing, if there is less."""
        missing = free = self.free_mtok
        if mtok is not None:
            if mtok > free:
                raise InsufficientTokens(free, self.account.label)
            missing = mtok
        taken: list[Part] = []
        while missing:
            grant, available = self._parts[0]
            part = Part(grant, min(available, missing))
            taken.append(part)
            missing -= part.mtok
            if part.mtok == available:
                del self._parts[0]
            else:
                self._parts[0] = Part(grant, available - part.mtok)
        return taken


def pot_of(account: Account, now: datetime, *, grant_id: uuid.UUID | None = None) -> Pot:
    """Return the pot of one locked account, of one grant only if it is named."""
    return pots_of([account], now, grant_ids=None if grant_id is None else [grant_id])[account.id]


def pots_of(
    accounts: Iterable[Account],
    now: datetime,
    *,
    grant_ids: Iterable[uuid.UUID] | None = None,
    forced: bool = False,
) -> dict[uuid.UUID, Pot]:
    """Return the pots of locked accounts by id, of some grants only if they are named, in one query.

    Frozen and expired Tokens are in them only if it is `forced`: for what takes back.
    """
    accounts = list(accounts)
    lots = Lot.objects.filter(
        account_id__in=[account.id for account in accounts], spent=False, posted_mtok__gt=F("held_mtok")
    )
    if not forced:
        lots = lots.filter(Q(expires_at__isnull=True) | Q(expires_at__gt=now), frozen=False)
    if grant_ids is not None:
        lots = lots.filter(grant_id__in=list(grant_ids))
    parts: dict[uuid.UUID, list[Part]] = defaultdict(list)
    for lot in lots.select_related("grant").order_by(
        "priority", F("expires_at").asc(nulls_last=True), "granted_at", "id"
    ):
        parts[lot.account_id].append(Part(lot.grant, lot.posted_mtok - lot.held_mtok))
    return {account.id: Pot(account, parts[account.id]) for account in accounts}


def legs_between(source: Account, target: Account, parts: Iterable[Part]) -> list[Leg]:
    """Return the legs that move parts of grants from one account to another."""
    return [leg for grant, mtok in parts for leg in (Leg(source, grant, -mtok), Leg(target, grant, mtok))]
