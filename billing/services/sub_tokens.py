"""Making, filling, emptying and revoking sub-tokens. Every function needs the organization's scope."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

from django.conf import settings
from django.db import transaction

from billing.enums import AccountKind, OnExhausted, PriorityClass, SubTokenMode
from billing.errors import AccountClosed, ExpiryOutOfRange, SubTokenUnknown
from billing.models import SubToken
from billing.queries.credentials import forget_credentials
from billing.queries.pools import wallet
from billing.services.accounts import close_account
from billing.services.pools import open_pool
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
    expires_at = expires_at or now + DEFAULT_LIFE
    _check_expiry(expires_at, now)
    policy = policy or Policy()
    secret = new_secret(SecretKind.SUB_TOKEN)
    with transaction.atomic():
        account = open_slice(
            kind=AccountKind.SUB_TOKEN,
            parent=open_pool(team_id=team_id, actor=actor, now=now) if team_id else wallet(),
            mode=mode,
            mtok=mtok,
            team_id=team_id,
            label=name,
            expires_at=expires_at,
            actor=actor,
            now=now,
        )
        sub_token = SubToken.objects.create(
            id=new_id(),
            organization_id=organization_id,
            created_at=now,
            name=name,
            prefix=shown_prefix(secret),
            secret_hash=hash_secret(secret),
            account=account,
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
            created_by=actor.name or str(actor),
        )
        facts: dict[str, object] = {"name": name, "mode": mode, "mtok": mtok, "expires_at": expires_at.isoformat()}
        _record(sub_token, "sub_token.created", facts, actor, now)
    return IssuedSubToken(sub_token, secret)


def allocate_to_sub_token(*, sub_token_id: uuid.UUID, mtok: int, actor: Actor, now: datetime) -> SubToken:
    """Give a sub-token more of its parent's Tokens, or a higher quota. Raises SubTokenUnknown and as `add_tokens`."""
    with transaction.atomic():
        sub_token = find_sub_token(sub_token_id)
        add_tokens(account=sub_token.account, mtok=mtok, actor=actor, now=now)
        _record(sub_token, "sub_token.allocated", {"mtok": mtok}, actor, now)
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
            _record(sub_token, "sub_token.reclaimed", {"mtok": taken}, actor, now)
    return sub_token, taken


def rotate_secret(*, sub_token_id: uuid.UUID, actor: Actor, now: datetime) -> IssuedSubToken:
    """Give a sub-token a new secret; the old one is nobody's from this commit on. Tokens and policy stay.

    Locks the sub-token. Raises SubTokenUnknown, and AccountClosed when it is revoked.
    """
    with transaction.atomic():
        sub_token = SubToken.objects.select_for_update().filter(id=sub_token_id).first()
        if sub_token is None:
            raise SubTokenUnknown("There is no such sub-token.")
        if sub_token.revoked_at is not None:
            raise AccountClosed("This sub-token was revoked; make a new one.")
        secret = new_secret(SecretKind.SUB_TOKEN)
        sub_token.prefix, sub_token.secret_hash = shown_prefix(secret), hash_secret(secret)
        sub_token.save(update_fields=["prefix", "secret_hash"])
        _record(sub_token, "sub_token.rotated", {"prefix": sub_token.prefix}, actor, now)
        transaction.on_commit(forget_credentials)
    return IssuedSubToken(sub_token, secret)


def revoke_sub_token(*, sub_token_id: uuid.UUID, actor: Actor, now: datetime) -> SubToken:
    """End a sub-token for good. Its account takes no new hold from this commit on; its Tokens wait to be reclaimed.

    Doing it again changes nothing. Locks the account, then the sub-token. Raises SubTokenUnknown.
    """
    with transaction.atomic():
        close_account(account_id=find_sub_token(sub_token_id).account_id, now=now)
        sub_token = SubToken.objects.select_for_update().get(id=sub_token_id)
        if sub_token.revoked_at is None:
            sub_token.revoked_at = now
            sub_token.save(update_fields=["revoked_at"])
            _record(sub_token, "sub_token.revoked", {"name": sub_token.name}, actor, now)
        # This process need not believe its own copy until the time is up; the others do for less than a second.
        transaction.on_commit(forget_credentials)
    return sub_token


def find_sub_token(sub_token_id: uuid.UUID) -> SubToken:
    """Return a sub-token with its account. Raises SubTokenUnknown."""
    sub_token = SubToken.objects.select_related("account").filter(id=sub_token_id).first()
    if sub_token is None:
        raise SubTokenUnknown("There is no such sub-token.")
    return sub_token


def _check_expiry(expires_at: datetime, now: datetime) -> None:
    latest = timedelta(days=settings.PLAN_SUB_TOKEN_DAYS)
    if not SHORTEST_LIFE <= expires_at - now <= latest:
        raise ExpiryOutOfRange(f"A sub-token may live from one minute to {latest.days} days.")


def _record(sub_token: SubToken, action: str, facts: dict[str, object], actor: Actor, now: datetime) -> None:
    audit.record(
        organization_id=sub_token.organization_id,
        actor=actor,
        action=action,
        target_kind="sub_token",
        target_id=sub_token.id,
        after=facts,
        now=now,
    )
