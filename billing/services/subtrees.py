"""Ending a project: everything that a team, with all that hangs below it, still has goes back at once."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import datetime

from django.db import transaction
from django.db.models import F

from billing.enums import AccountMode, TransferKind
from billing.errors import AccountUnknown, NotNested
from billing.models import Account, SubToken
from billing.queries.hanging import capped_between, places_above, places_below
from billing.services.locks import lock_whatever, way_from
from billing.services.pots import legs_between, pots_of
from billing.services.splitting import record
from billing.services.sub_token_life import revoke_sub_tokens
from billing.services.transfers import Draft, post_all
from tenants.actors import Actor


@dataclass(frozen=True)
class Ending:
    """What came back (mtok), from how many accounts, what stays held for running calls, and who was revoked."""

    reclaimed_mtok: int
    accounts: int
    held_mtok: int
    revoked: list[SubToken]


def reclaim_all(*, account_id: uuid.UUID, revoke: bool, actor: Actor, now: datetime, reason: str = "") -> Ending:
    """Move the free Tokens of a pool and of all that hangs below it to where the pool's own came from.

    All or nothing, one reclaim for each account that had something; grant and expiry are kept. Capped accounts below
    get what they have drawn as their ceiling, so nothing there can spend any more, save what is held. With `revoke`,
    all its sub-tokens end for good. The team and its pool stay and can be filled again. Doing it again moves nothing.

    Needs the organization's scope; locks the pool, all below it, and those from its parent up to what pays for it.
    Raises AccountUnknown, and NotNested for the wallet.
    """
    with transaction.atomic():
        top = Account.objects.filter(id=account_id).first()
        if top is None:
            raise AccountUnknown("There is no such account.")
        if top.parent is None:
            raise NotNested("What the wallet has hangs below nothing that it could go back to.")
        funding_id, path = way_from(top.parent)
        accounts = lock_whatever(lambda: {funding_id, *path, *places_below(account_id)})
        below = {id_: accounts[id_] for id_ in places_below(account_id) if id_ in accounts}
        places = places_above(accounts)
        funding = accounts[funding_id]
        drafts = [
            Draft(
                TransferKind.RECLAIM,
                legs_between(pot.account, funding, pot.take()),
                path=capped_between(places, pot.account.id, funding_id),
                reason=reason,
            )
            for pot in pots_of(below.values(), now).values()
            if pot.free_mtok
        ]
        post_all(drafts, now=now, actor=actor)
        capped = [account.id for account in below.values() if account.mode == AccountMode.CAPPED]
        Account.objects.filter(id__in=capped).update(cap_mtok=F("drawn_mtok"), revision=F("revision") + 1)
        revoked = _revoke(below, reason, actor, now) if revoke else []
        ending = Ending(
            reclaimed_mtok=sum(draft.mtok for draft in drafts),
            accounts=len(drafts),
            held_mtok=sum(account.held_mtok for account in below.values()),
            revoked=revoked,
        )
        facts = {
            "mtok": ending.reclaimed_mtok,
            "accounts": ending.accounts,
            "held_mtok": ending.held_mtok,
            "revoked": [f"{sub_token.name} ({sub_token.prefix})" for sub_token in revoked],
        }
        record(top, "ended", facts, actor, now, reason=reason)
    return ending


def _revoke(accounts: dict[uuid.UUID, Account], reason: str, actor: Actor, now: datetime) -> list[SubToken]:
    living = SubToken.objects.filter(account_id__in=accounts, revoked_at=None).values_list("id", flat=True)
    return revoke_sub_tokens(sub_token_ids=list(living), reason=reason, actor=actor, now=now).changed
