"""Splitting an account's Tokens, or one grant of them, into many new sub-tokens in one act."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal

from django.db import transaction

from billing.division import divide_by_weight, divide_equally
from billing.enums import AccountKind, TransferKind
from billing.errors import AccountUnknown, DivisionInvalid, GrantUnknown
from billing.models import Account, Grant, SubToken
from billing.services.allocations import check_open, check_room
from billing.services.locks import before_opening_accounts, lock_accounts, way_from
from billing.services.pots import legs_between, pot_of
from billing.services.splitting import record
from billing.services.sub_tokens import IssuedSubToken, Policy, draft_sub_token
from billing.services.transfers import Draft, post_all
from tenants.actors import Actor
from tenants.identifiers import new_id

MOST_PARTS = 1_000
SPLITTABLE = (AccountKind.ORG_WALLET, AccountKind.TEAM_POOL)


@dataclass(frozen=True)
class Share:
    """A sub-token to be: its name, its Tokens (mtok), and what else it is to be."""

    name: str
    mtok: int
    expires_at: datetime | None = None
    policy: Policy = field(default_factory=Policy)


def amounts_of(
    parts: int, *, total_mtok: int | None, weights: Sequence[Decimal] | None, amounts_mtok: Sequence[int] | None
) -> list[int]:
    """Return how much (mtok) each part gets: the given amounts, or the total by weights, or the total in equal parts.

    The parts sum to the total exactly; see billing/division.py. Raises DivisionInvalid when that leaves a part with
    nothing, or what was given does not fit together.
    """
    if not 1 <= parts <= MOST_PARTS:
        raise DivisionInvalid(f"There may be 1 to {MOST_PARTS} parts.")
    if amounts_mtok is not None:
        amounts = list(amounts_mtok)
        if total_mtok is not None and sum(amounts) != total_mtok:
            raise DivisionInvalid("The amounts do not sum to the total.")
    elif total_mtok is None:
        raise DivisionInvalid("Without amounts there must be a total to divide.")
    elif weights is None:
        amounts = divide_equally(total_mtok, parts)
    else:
        try:
            amounts = divide_by_weight(total_mtok, weights)
        except ValueError:
            raise DivisionInvalid("Weights are numbers above 0.") from None
    if len(amounts) != parts:
        raise DivisionInvalid("There must be an amount or a weight for each part.")
    if min(amounts) <= 0:
        raise DivisionInvalid("Each part must get at least a thousandth of a Token.")
    return amounts


def split(
    *,
    organization_id: uuid.UUID,
    account_id: uuid.UUID,
    shares: Sequence[Share],
    grant_id: uuid.UUID | None = None,
    actor: Actor,
    now: datetime,
) -> list[IssuedSubToken]:
    """Make a sub-token for each share below the wallet or a team's pool, with its Tokens: all of them or none.

    The Tokens come from one grant if that is named, else in burn order, the first share served first. One allocation
    for each share. The secrets are in the answer and nowhere else. Needs the organization's scope; locks the account
    and those up to what pays for it. Raises AccountUnknown, GrantUnknown, DivisionInvalid, ExpiryOutOfRange,
    AccountClosed, AccountExpired, QuotaExceeded, InsufficientTokens.
    """
    if not 1 <= len(shares) <= MOST_PARTS or min(share.mtok for share in shares) <= 0:
        raise DivisionInvalid(f"There may be 1 to {MOST_PARTS} parts, each of at least a thousandth of a Token.")
    issued = [
        draft_sub_token(
            organization_id=organization_id,
            name=share.name,
            expires_at=share.expires_at,
            policy=share.policy,
            actor=actor,
            now=now,
        )
        for share in shares
    ]
    with transaction.atomic():
        parent = Account.objects.filter(id=account_id, kind__in=SPLITTABLE).first()
        if parent is None:
            raise AccountUnknown("There is no such wallet or pool.")
        if grant_id is not None and not Grant.objects.filter(id=grant_id).exists():
            raise GrantUnknown("There is no such grant.")
        before_opening_accounts(organization_id)
        funding_id, path = way_from(parent)
        way = lock_accounts([funding_id, *path])
        check_open(way.values(), now)
        check_room(way.values(), sum(share.mtok for share in shares))
        children = _open_accounts(parent, issued, now)
        pot = pot_of(way[funding_id], now, grant_id=grant_id)
        drafts = [
            Draft(TransferKind.ALLOCATION, legs_between(pot.account, child, pot.take(share.mtok)), path)
            for child, share in zip(children, shares, strict=True)
        ]
        post_all(drafts, now=now, actor=actor)
        facts = {
            "mtok": sum(share.mtok for share in shares),
            "grant": None if grant_id is None else str(grant_id),
            "parts": [f"{one.sub_token.name} ({one.sub_token.prefix})" for one in issued],
        }
        record(parent, "split", facts, actor, now)
    return issued


def _open_accounts(parent: Account, issued: Sequence[IssuedSubToken], now: datetime) -> list[Account]:
    children = Account.objects.bulk_create(
        Account(
            id=new_id(),
            organization_id=parent.organization_id,
            created_at=now,
            kind=AccountKind.SUB_TOKEN,
            parent=parent,
            team_id=parent.team_id,
            label=one.sub_token.name,
            expires_at=one.sub_token.expires_at,
        )
        for one in issued
    )
    for one, account in zip(issued, children, strict=True):
        one.sub_token.account, one.sub_token.team_id = account, parent.team_id
    SubToken.objects.bulk_create(one.sub_token for one in issued)
    return children
