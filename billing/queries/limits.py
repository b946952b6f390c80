"""Limits, and how much of them is used. All read in the scope of the caller's transaction."""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from django.db import connection
from django.db.models import Q
from django.utils import timezone

from billing.enums import LEVEL_OF_KIND, AccountKind, Level, LimitPeriod
from billing.models import Account, Limits, SubToken

LIMITED_KINDS = tuple(LEVEL_OF_KIND)


@dataclass(frozen=True)
class LimitState:
    """One limit of Tokens in the period that runs: what was held and captured of its ceiling, all in mtok.

    `ends_at` is None for the limit in all, which never begins anew. A ceiling that was lowered may be below what was
    used by then.
    """

    period: LimitPeriod
    ceiling_mtok: int
    used_mtok: int
    starts_at: datetime
    ends_at: datetime | None

    @property
    def name(self) -> str:
        """Return the name by which pages, API and refusals call the limit."""
        return "tokens_total" if self.period == LimitPeriod.TOTAL else f"tokens_per_{self.period}"

    @property
    def remaining_mtok(self) -> int:
        return max(0, self.ceiling_mtok - self.used_mtok)


@dataclass(frozen=True)
class AccountLimits:
    """What binds one account itself; `limits` is None where nobody has set any. `sub_token` bears its own policy."""

    account: Account
    limits: Limits | None
    sub_token: SubToken | None
    states: list[LimitState]

    @property
    def level(self) -> Level:
        return LEVEL_OF_KIND[AccountKind(self.account.kind)]

    @property
    def name(self) -> str:
        """Return what people call the sub-token or team; empty for the organization."""
        return self.sub_token.name if self.sub_token else self.account.label

    @property
    def rate_key(self) -> str:
        """Return what the account's requests are counted under."""
        return str(self.sub_token.id if self.sub_token else self.account.id)

    @property
    def policy(self) -> Limits | SubToken | None:
        """Return where requests per second, burst and concurrency stand."""
        return self.sub_token or self.limits

    @property
    def bounds(self) -> dict[str, Decimal | int]:
        """Return the limits of requests and calls that are set, by name."""
        found = {
            "requests_per_second": getattr(self.policy, "requests_per_second", None),
            "burst": getattr(self.policy, "burst", None),
            "requests_per_day": getattr(self.limits, "requests_per_day", None),
            "concurrency": getattr(self.policy, "concurrency", None),
        }
        return {name: bound for name, bound in found.items() if bound is not None}


@dataclass(frozen=True)
class LimitedAccounts:
    """A page of accounts, and the id to go on before (None after the last)."""

    accounts: list[Account]
    next_cursor: uuid.UUID | None


def limited_accounts(
    *, name: str = "", level: str | None = None, everything: bool = False, before: uuid.UUID | None = None, limit: int
) -> LimitedAccounts:
    """Return the organization, its teams, and sub-tokens that have limits (or all), latest first.

    `name` is part of what they are called. Organization and teams stand on the first page, above the sub-tokens.
    """
    found = Account.objects.filter(closed_at=None)
    top = found.filter(kind__in=[AccountKind.ORG_WALLET, AccountKind.TEAM_POOL]).order_by("id")
    below = found.filter(kind=AccountKind.SUB_TOKEN).order_by("-id")
    if name:
        top, below = top.filter(label__icontains=name), below.filter(sub_tokens__name__icontains=name)
    if not everything and not name:
        has_policy = Q(sub_tokens__requests_per_second__isnull=False) | Q(sub_tokens__concurrency__isnull=False)
        below = below.filter(has_policy | Q(id__in=Limits.objects.values("account_id")))
    if level:
        kinds = {LEVEL_OF_KIND[kind]: kind for kind in LEVEL_OF_KIND}
        top, below = top.filter(kind=kinds[Level(level)]), below.filter(kind=kinds[Level(level)])
    rows = list((below.filter(id__lt=before) if before else below)[: limit + 1])
    more = len(rows) > limit
    rows = rows[:limit]
    return LimitedAccounts([*([] if before else top), *rows], rows[-1].id if more else None)


_STATES = """
SELECT l.account_id, p.period, p.ceiling_mtok, coalesce(w.used_mtok, 0), p.starts_at, p.ends_at
FROM billing_limits l
CROSS JOIN LATERAL billing_limit_periods(l, %(now)s) AS p
LEFT JOIN billing_limitwindow w
    ON w.org_id = l.org_id AND w.account_id = l.account_id AND w.period = p.period AND w.starts_at = p.starts_at
WHERE l.account_id = ANY (%(ids)s::uuid[]) AND (p.period = 'planhour') = %(plan)s
ORDER BY p.ends_at
"""


def limit_states(account_ids: Iterable[uuid.UUID], *, now: datetime | None = None) -> dict[uuid.UUID, list[LimitState]]:
    """Return the limits of Tokens of those of the accounts that have any, the shortest period first, in one query."""
    found: dict[uuid.UUID, list[LimitState]] = {}
    with connection.cursor() as cursor:
        cursor.execute(_STATES, {"ids": list(account_ids), "now": now or timezone.now(), "plan": False})
        for account_id, period, *rest in cursor.fetchall():
            found.setdefault(account_id, []).append(LimitState(LimitPeriod(period), *rest))
    return found


def limits_of(account_id: uuid.UUID, *, now: datetime | None = None) -> list[LimitState]:
    """Return an account's own limits of Tokens, the shortest period first; not those of the accounts above it."""
    return limit_states([account_id], now=now).get(account_id, [])


def plan_hour(account_id: uuid.UUID, *, now: datetime) -> LimitState | None:
    """Return how much of its plan's Tokens per hour an organization has used, by its wallet; None without a ceiling."""
    with connection.cursor() as cursor:
        cursor.execute(_STATES, {"ids": [account_id], "now": now, "plan": True})
        found = cursor.fetchone()
    return LimitState(LimitPeriod.HOUR, *found[2:]) if found else None


def account_limits(accounts: Iterable[Account], *, now: datetime | None = None) -> list[AccountLimits]:
    """Return what binds each of the accounts itself, in their order, in three queries."""
    accounts = list(accounts)
    ids = [account.id for account in accounts]
    limits = {row.account_id: row for row in Limits.objects.filter(account_id__in=ids)}
    sub_tokens = {row.account_id: row for row in SubToken.objects.filter(account_id__in=ids)}
    states = limit_states(limits, now=now)
    return [
        AccountLimits(account, limits.get(account.id), sub_tokens.get(account.id), states.get(account.id, []))
        for account in accounts
    ]
