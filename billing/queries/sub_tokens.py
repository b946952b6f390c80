"""Sub-tokens with what they have and what they used. All read in the scope of the caller's transaction."""

from __future__ import annotations

import uuid
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from django.db.models import QuerySet, Sum

from billing.enums import SubTokenMode, SubTokenStatus
from billing.models import DailyBurn, RetiredSecret, SubToken
from billing.queries.balances import Balance, balances


@dataclass(frozen=True)
class SubTokenState:
    """A sub-token at one moment, amounts in mtok.

    `total_mtok` is the quota of a capped one (None without), and what an allocated one still has and has used.
    `old_secrets` are former ones that still work, the one that ends first first.
    """

    sub_token: SubToken
    balance: Balance
    used_mtok: int
    status: SubTokenStatus
    old_secrets: list[RetiredSecret]

    @property
    def total_mtok(self) -> int | None:
        if self.sub_token.mode == SubTokenMode.CAPPED:
            return self.balance.cap_mtok
        return self.balance.posted_mtok + self.used_mtok


def sub_tokens(*, team_id: uuid.UUID | None = None) -> QuerySet[SubToken]:
    """Return the sub-tokens of the organization in scope, or of one of its teams, latest first."""
    found = SubToken.objects.order_by("-id")
    return found.filter(team_id=team_id) if team_id else found


def states(found: Iterable[SubToken], *, now: datetime) -> list[SubTokenState]:
    """Return the states of sub-tokens, in their order, in three queries."""
    found = list(found)
    accounts = [sub_token.account_id for sub_token in found]
    balance_of = balances(accounts, now=now)
    used = dict(
        DailyBurn.objects.filter(account_id__in=accounts).values_list("account_id").annotate(used=Sum("captured_mtok"))
    )
    old_secrets: dict[uuid.UUID, list[RetiredSecret]] = defaultdict(list)
    for old in RetiredSecret.objects.filter(sub_token__in=found, ends_at__gt=now).order_by("ends_at", "id"):
        old_secrets[old.sub_token_id].append(old)
    return [
        SubTokenState(
            sub_token=sub_token,
            balance=balance_of[sub_token.account_id],
            used_mtok=int(used.get(sub_token.account_id, 0)),
            status=sub_token.status_at(now),
            old_secrets=old_secrets[sub_token.id],
        )
        for sub_token in found
    ]


def state(sub_token: SubToken, *, now: datetime) -> SubTokenState:
    """Return one sub-token's state."""
    return states([sub_token], now=now)[0]
