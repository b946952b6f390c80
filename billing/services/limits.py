"""Setting what an organization, a team or a sub-token may use at most. Needs the organization's scope."""

from __future__ import annotations

import uuid
from collections.abc import Collection
from dataclasses import asdict, dataclass
from datetime import datetime
from decimal import Decimal

from django.db import connection, transaction

from billing.enums import LEVEL_OF_KIND, PLAN_HOUR, SYSTEM_KINDS, AccountKind
from billing.errors import AccountUnknown
from billing.models import Account, Limits, LimitWindow, SubToken
from billing.queries.credentials import forget_credentials
from billing.queries.pools import wallet
from billing.services.locks import lock_accounts
from tenants.actors import Actor
from tenants.services import audit

# Of a sub-token these stand in its policy.
POLICY_FIELDS = ("requests_per_second", "burst", "concurrency")


@dataclass(frozen=True)
class Ceilings:
    """All limits of one account; None means none. Tokens in mtok, per calendar hour, day and month of UTC.

    `burst` is how many requests may come at once, one second's worth if None.
    """

    tokens_per_hour_mtok: int | None = None
    tokens_per_day_mtok: int | None = None
    tokens_per_month_mtok: int | None = None
    tokens_total_mtok: int | None = None
    requests_per_second: Decimal | None = None
    burst: int | None = None
    requests_per_day: int | None = None
    concurrency: int | None = None


def set_limits(*, account_id: uuid.UUID, ceilings: Ceilings, actor: Actor, now: datetime) -> Limits:
    """Set all limits of a wallet (the organization's), a team's pool or a sub-token's account at once.

    They bind every hold placed from this commit on, on the account and all below it, and count what was held and
    captured there before in the periods that run. A limit that is below what was used already refuses until its period
    is over. Locks the account and all below it, in order of id, then its limits. Raises AccountUnknown.
    """
    with transaction.atomic():
        account = Account.objects.filter(id=account_id, kind__in=LEVEL_OF_KIND).first()
        if account is None:
            raise AccountUnknown("There is no such account.")
        below = _lock_all_below(account)
        before = current_ceilings(account)
        limits, _ = Limits.objects.get_or_create(
            organization_id=account.organization_id, account=account, defaults={"created_at": now}
        )
        values = asdict(ceilings)
        if account.kind == AccountKind.SUB_TOKEN:
            SubToken.objects.filter(account=account).update(**{name: values.pop(name) for name in POLICY_FIELDS})
        for name, value in values.items():
            setattr(limits, name, value)
        limits.save()
        _count_from_now_on(limits, below, now)
        _bind(account_id)
        _record(account, before, ceilings, actor, now)
        transaction.on_commit(forget_credentials)
    return limits


def set_plan_ceiling(*, tokens_per_hour_mtok: int | None, now: datetime) -> None:
    """Let the organization in scope spend so much per hour by its plan; None: no bound.

    Does nothing where that is so already. Locks all accounts of the organization, also the system's, in order of id, so
    that Tokens can be granted in the same transaction; then the wallet's limits.
    """
    account = wallet()
    limits = Limits.objects.filter(account=account).first()
    if (limits.plan_tokens_per_hour_mtok if limits else None) == tokens_per_hour_mtok:
        return
    below = _lock_all_below(account, SYSTEM_KINDS)
    limits, _ = Limits.objects.get_or_create(
        organization_id=account.organization_id, account=account, defaults={"created_at": now}
    )
    limits.plan_tokens_per_hour_mtok = tokens_per_hour_mtok
    limits.save(update_fields=["plan_tokens_per_hour_mtok"])
    _count_from_now_on(limits, below, now)
    _bind(account.id)


def current_ceilings(account: Account) -> Ceilings:
    """Return the limits that an account has now."""
    limits = Limits.objects.filter(account=account).first()
    sub_token = SubToken.objects.filter(account=account).first()
    values = {name: getattr(limits, name) for name in Ceilings.__dataclass_fields__} if limits else {}
    if sub_token:
        values |= {name: getattr(sub_token, name) for name in POLICY_FIELDS}
    return Ceilings(**values)


_ALL_BELOW = """
WITH RECURSIVE below AS (
    SELECT id FROM billing_account WHERE id = %s
    UNION ALL
    SELECT child.id FROM below JOIN billing_account child ON child.parent_id = below.id
)
SELECT id FROM below
"""


def _lock_all_below(account: Account, also: Collection[AccountKind] = ()) -> set[uuid.UUID]:
    """Lock an account and all below it, so that no hold there can be placed, or resolved, unseen; return which.

    Before that it shuts out who opens accounts in the organization: they would not be among them. Accounts of the kinds
    `also` are locked with them.
    """
    with connection.cursor() as cursor:
        cursor.execute("SELECT billing_shut_accounts(%s)", [account.organization_id])
        cursor.execute(_ALL_BELOW, [account.id])
        below = {row[0] for row in cursor.fetchall()}
    others = Account.objects.filter(organization_id=account.organization_id, kind__in=also).values_list("id", flat=True)
    lock_accounts(below | set(others))
    return below


_COUNT = """
INSERT INTO billing_limitwindow AS w (id, org_id, created_at, account_id, period, starts_at, used_mtok)
SELECT tokensight_new_id(), l.org_id, %(now)s, l.account_id, p.period, p.starts_at,
       billing_spent_in_period(l.org_id, %(below)s::uuid[], p.period, p.starts_at)
FROM billing_limits l CROSS JOIN LATERAL billing_limit_periods(l, %(now)s) AS p
WHERE l.id = %(limits)s
ON CONFLICT (org_id, account_id, period, starts_at) DO UPDATE SET used_mtok = excluded.used_mtok
"""


def _count_from_now_on(limits: Limits, below: set[uuid.UUID], now: datetime) -> None:
    """Let each ceiling have a window that counts all of its period, and none that is no longer kept."""
    kept = [*limits.ceilings(), *([PLAN_HOUR] if limits.plan_tokens_per_hour_mtok is not None else [])]
    LimitWindow.objects.filter(account_id=limits.account_id).exclude(period__in=kept).delete()
    with connection.cursor() as cursor:
        cursor.execute(_COUNT, {"now": now, "below": list(below), "limits": limits.id})


_BIND = """
WITH RECURSIVE below AS (
    SELECT a.id, a.limited_by, ARRAY[a.id] AS way FROM billing_account a WHERE a.id = %(account)s
    UNION ALL
    SELECT child.id, child.limited_by, below.way || child.id
    FROM below JOIN billing_account child ON child.parent_id = below.id
),
bound AS (
    SELECT below.id, below.limited_by AS had, nullif(coalesce(parent.limited_by, '{}') || ARRAY(
        SELECT l.account_id FROM billing_limits l
        WHERE l.account_id = ANY (below.way)
        AND coalesce(l.tokens_per_hour_mtok, l.tokens_per_day_mtok, l.tokens_per_month_mtok, l.tokens_total_mtok,
            l.plan_tokens_per_hour_mtok) IS NOT NULL
    ), '{}') AS limited_by
    FROM below
    JOIN billing_account a ON a.id = %(account)s
    LEFT JOIN billing_account parent ON parent.id = a.parent_id
)
UPDATE billing_account a SET limited_by = bound.limited_by
FROM bound WHERE a.id = bound.id AND bound.had IS DISTINCT FROM bound.limited_by
"""


def _bind(account_id: uuid.UUID) -> None:
    """Write down, on an account and all below it, which accounts' limits of Tokens bind each."""
    with connection.cursor() as cursor:
        cursor.execute(_BIND, {"account": account_id})


def _record(account: Account, before: Ceilings, after: Ceilings, actor: Actor, now: datetime) -> None:
    old, new = _shown(before), _shown(after)
    changed = {name for name in new if old[name] != new[name]}
    if changed:
        audit.record(
            organization_id=account.organization_id,
            actor=actor,
            action="limits.set",
            target_kind="account",
            target_id=account.id,
            before={name: old[name] for name in sorted(changed)},
            after={"name": str(account), **{name: new[name] for name in sorted(changed)}},
            now=now,
        )


def _shown(ceilings: Ceilings) -> dict[str, object]:
    return {
        name: str(value.normalize()) if isinstance(value, Decimal) else value
        for name, value in asdict(ceilings).items()
    }
