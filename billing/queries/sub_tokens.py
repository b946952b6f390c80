"""Sub-tokens with what they have and what they used. All read in the scope of the caller's transaction."""

from __future__ import annotations

import uuid
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime

from django.db.models import F, Q, QuerySet, Sum, Value
from django.db.models.functions import Coalesce, Lower

from billing.enums import SubTokenMode, SubTokenStatus
from billing.models import DailyBurn, RetiredSecret, SubToken
from billing.queries.balances import Balance, balances
from tenants.queries.pages import NEWEST, Order


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


LONG_AGO = Value(datetime(1970, 1, 1, tzinfo=UTC))
# What lists of sub-tokens can be sorted by, as `?sort=` says it.
ORDERS = {
    "-created_at": NEWEST,
    "name": Order(Lower("name")),
    "expires_at": Order(F("expires_at")),
    "-last_used_at": Order(Coalesce("last_used_at", LONG_AGO), descending=True),
    "last_used_at": Order(Coalesce("last_used_at", LONG_AGO)),
}


@dataclass(frozen=True)
class SubTokenSearch:
    """Which sub-tokens are looked for; what is not said leaves none out. `tag` is a tag's name and value."""

    text: str = ""
    status: str = ""
    team_id: uuid.UUID | None = None
    tag: tuple[str, str] | None = None

    def __bool__(self) -> bool:
        return self != SubTokenSearch()


def sub_tokens(*, team_id: uuid.UUID | None = None) -> QuerySet[SubToken]:
    """Return the sub-tokens of the organization in scope, or of one of its teams, latest first."""
    found = SubToken.objects.order_by("-id")
    return found.filter(team_id=team_id) if team_id else found


def search_sub_tokens(search: SubTokenSearch, *, now: datetime) -> QuerySet[SubToken]:
    """Return the sub-tokens of the organization in scope that are looked for, with their teams, latest first.

    The text is found in names, and at the beginning of secrets, of former ones too.
    """
    found = sub_tokens(team_id=search.team_id).select_related("team")
    if search.text:
        former = RetiredSecret.objects.filter(prefix__startswith=search.text).values("sub_token_id")
        found = found.filter(Q(name__icontains=search.text) | Q(prefix__startswith=search.text) | Q(id__in=former))
    if search.tag:
        found = found.filter(tags__contains=dict([search.tag]))
    match search.status:
        case SubTokenStatus.REVOKED:
            found = found.exclude(revoked_at=None)
        case SubTokenStatus.EXPIRED:
            found = found.filter(revoked_at=None, expires_at__lte=now)
        case SubTokenStatus.SUSPENDED:
            found = found.filter(revoked_at=None, expires_at__gt=now).exclude(suspended_at=None)
        case SubTokenStatus.ACTIVE:
            found = found.filter(revoked_at=None, expires_at__gt=now, suspended_at=None)
    return found


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
