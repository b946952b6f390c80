"""Making, filling and emptying sub-tokens. Every function needs the organization's scope.

What becomes of them afterwards is in billing/services/sub_token_life.py.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from django.db import transaction

from billing.enums import AccountKind, OnExhausted, PriorityClass, SubTokenMode
from billing.errors import ExpiryOutOfRange, SubTokenUnknown
from billing.models import SubToken
from billing.queries.plans import longest_life_days
from billing.queries.pools import wallet
from billing.services.pools import open_pool
from billing.services.reminders import next_reminder
from billing.services.slices import add_tokens, open_slice, take_back
from tenants.actors import Actor
from tenants.identifiers import new_id
from tenants.secrets import SecretKind, hash_secret, new_secret, shown_prefix
from tenants.services import audit

DEFAULT_LIFE = timedelta(days=30)
SHORTEST_LIFE = timedelta(minutes=1)


@dataclass(frozen=True)
class Policy:
    """What a sub-token's calls may do. None or an empty sequence means: as the plan allows."""

    requests_per_second: Decimal | None = None
    burst: int | None = None
    concurrency: int | None = None
    models: Sequence[str] = ()
    tasks: Sequence[str] = ()
    ip_allow_list: Sequence[str] = ()
    on_exhausted: str = OnExhausted.REJECT
    priority_class: int = PriorityClass.NORMAL
    tags: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class IssuedSubToken:
    """A new sub-token and its secret, which is nowhere else and must be shown now."""

    sub_token: SubToken
    secret: str


def create_sub_token(
    *,
    organization_id: uuid.UUID,
    name: str,
    mode: SubTokenMode = SubTokenMode.ALLOCATED,
    mtok: int | None = None,
    team_id: uuid.UUID | None = None,
    expires_at: datetime | None = None,
    policy: Policy | None = None,
    actor: Actor,
    now: datetime,
) -> IssuedSubToken:
    """Make a sub-token below its team's pool, or below the wallet, with `mtok` of Tokens or of quota.

    Ends after 30 days unless `expires_at` says otherwise. Locks as `open_pool` and `allocate`. Raises ExpiryOutOfRange,
    TeamUnknown, and what `allocate` raises: InsufficientTokens when the parent has less.
    """
    issued = draft_sub_token(
        organization_id=organization_id,
        name=name,
        mode=mode,
        team_id=team_id,
        expires_at=expires_at,
        policy=policy,
        actor=actor,
        now=now,
    )
    sub_token = issued.sub_token
    with transaction.atomic():
        sub_token.account = open_slice(
            kind=AccountKind.SUB_TOKEN,
            parent=open_pool(team_id=team_id, actor=actor, now=now) if team_id else wallet(),
            mode=mode,
            mtok=mtok,
            team_id=team_id,
            label=name,
            expires_at=sub_token.expires_at,
            actor=actor,
            now=now,
        )
        sub_token.save(force_insert=True)
        facts = {"name": name, "mode": mode, "mtok": mtok, "expires_at": sub_token.expires_at}
        record_act(sub_token, "sub_token.created", after=facts, actor=actor, now=now)
    return issued


def draft_sub_token(
    *,
    organization_id: uuid.UUID,
    name: str,
    mode: SubTokenMode = SubTokenMode.ALLOCATED,
    team_id: uuid.UUID | None = None,
    expires_at: datetime | None = None,
    policy: Policy | None = None,
    actor: Actor,
    now: datetime,
) -> IssuedSubToken:
    """Return a new sub-token and its secret, not saved and without an account. Raises ExpiryOutOfRange."""
    expires_at = expires_at or now + min(DEFAULT_LIFE, timedelta(days=longest_life_days()))
    check_expiry(expires_at, now)
    policy = policy or Policy()
    secret = new_secret(SecretKind.SUB_TOKEN)
    sub_token = SubToken(
        id=new_id(),
        organization_id=organization_id,
        created_at=now,
        name=name,
        prefix=shown_prefix(secret),
        secret_hash=hash_secret(secret),
        team_id=team_id,
        mode=mode,
        expires_at=expires_at,
        requests_per_second=policy.requests_per_second,
        burst=policy.burst,
        concurrency=policy.concurrency,
        models=list(policy.models),
        tasks=list(policy.tasks),
        ip_allow_list=list(policy.ip_allow_list),
        on_exhausted=policy.on_exhausted,
        priority_class=policy.priority_class,
        tags=dict(policy.tags),
        next_reminder_at=next_reminder(expires_at, now),
        created_by=actor.name or str(actor),
    )
    return IssuedSubToken(sub_token, secret)


def allocate_to_sub_token(*, sub_token_id: uuid.UUID, mtok: int, actor: Actor, now: datetime) -> SubToken:
    """Give a sub-token more of its parent's Tokens, or a higher quota. Raises SubTokenUnknown and as `add_tokens`."""
    with transaction.atomic():
        sub_token = find_sub_token(sub_token_id)
        add_tokens(account=sub_token.account, mtok=mtok, actor=actor, now=now)
        record_act(sub_token, "sub_token.allocated", after={"mtok": mtok}, actor=actor, now=now)
    return sub_token


def reclaim_from_sub_token(
    *, sub_token_id: uuid.UUID, mtok: int | None = None, actor: Actor, now: datetime
) -> tuple[SubToken, int]:
    """Take a sub-token's free Tokens (or quota) back, all unless told otherwise; return it and how much that was.

    Works on revoked and expired ones too. Raises SubTokenUnknown and as `take_back`.
    """
    with transaction.atomic():
        sub_token = find_sub_token(sub_token_id)
        taken = take_back(account=sub_token.account, mtok=mtok, actor=actor, now=now)
        if taken:
            record_act(sub_token, "sub_token.reclaimed", after={"mtok": taken}, actor=actor, now=now)
    return sub_token, taken


def find_sub_token(sub_token_id: uuid.UUID) -> SubToken:
    """Return a sub-token with its account. Raises SubTokenUnknown."""
    sub_token = SubToken.objects.select_related("account").filter(id=sub_token_id).first()
    if sub_token is None:
        raise SubTokenUnknown("There is no such sub-token.")
    return sub_token


def check_expiry(expires_at: datetime, now: datetime) -> None:
    """Raise ExpiryOutOfRange unless the plan of the organization in scope lets a sub-token end then."""
    latest = timedelta(days=longest_life_days())
    if not SHORTEST_LIFE <= expires_at - now <= latest:
        raise ExpiryOutOfRange(f"By your plan a sub-token may live from one minute to {latest.days} days.")


def record_act(
    sub_token: SubToken,
    action: str,
    *,
    before: dict[str, Any] | None = None,
    after: dict[str, Any] | None = None,
    reason: str = "",
    actor: Actor,
    now: datetime,
) -> None:
    """Write into the audit log what was done to a sub-token."""
    audit.record(
        organization_id=sub_token.organization_id,
        actor=actor,
        action=action,
        target_kind="sub_token",
        target_id=sub_token.id,
        before=before,
        after=after,
        reason=reason,
        now=now,
    )
