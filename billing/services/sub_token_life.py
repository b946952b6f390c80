"""What becomes of sub-tokens: changed, rotated, suspended, resumed, extended, revoked, one or many in one act.

Every function needs the organization's scope. All of them lock the accounts, once and in order of id, and then the
sub-tokens in the same order; what calls hold already is finished and charged whatever becomes of the sub-token.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction

from billing.enums import AccountMode
from billing.errors import AccountClosed, SubTokenUnknown
from billing.models import Account, SubToken
from billing.queries.credentials import forget_credentials
from billing.services.locks import lock_accounts, way_from
from billing.services.reminders import next_reminder
from billing.services.slices import take_back
from billing.services.sub_tokens import IssuedSubToken, check_expiry, record_act
from tenants.actors import Actor
from tenants.secrets import SecretKind
from tenants.services.rotation import DEFAULT_GRACE, end_grace_of, replace_secret

# What of a sub-token can be changed. Its team and its mode cannot: its account hangs where it was opened.
CHANGEABLE = frozenset(
    {
        "name",
        "expires_at",
        "requests_per_second",
        "burst",
        "concurrency",
        "models",
        "tasks",
        "ip_allow_list",
        "on_exhausted",
        "priority_class",
        "tags",
    }
)


@dataclass
class Outcome:
    """What one act did: to which sub-tokens, which it left as they were, and how much went back to their parents."""

    changed: list[SubToken] = field(default_factory=list)
    unchanged: list[SubToken] = field(default_factory=list)
    reclaimed_mtok: int = 0


def change_sub_token(
    *, sub_token_id: uuid.UUID, changes: Mapping[str, Any], actor: Actor, now: datetime
) -> tuple[SubToken, bool]:
    """Give a sub-token another name, expiry, policy or tags (the keys of CHANGEABLE); say whether anything changed.

    Calls go by it within a second, everywhere. Raises SubTokenUnknown, AccountClosed when it is revoked, and
    ExpiryOutOfRange.
    """
    assert changes.keys() <= CHANGEABLE
    with transaction.atomic():
        (sub_token,) = _lock([sub_token_id])
        _require_alive(sub_token)
        present = {name: getattr(sub_token, name) for name in changes}
        before = {name: value for name, value in present.items() if changes[name] != value}
        if not before:
            return sub_token, False
        after = {name: changes[name] for name in before}
        if "expires_at" in after:
            check_expiry(after["expires_at"], now)
            sub_token.next_reminder_at = next_reminder(after["expires_at"], now)
        for name, value in after.items():
            setattr(sub_token, name, value)
        sub_token.save(update_fields=[*after, "next_reminder_at"])
        Account.objects.filter(id=sub_token.account_id).update(label=sub_token.name, expires_at=sub_token.expires_at)
        record_act(sub_token, "sub_token.changed", before=before, after=after, actor=actor, now=now)
        transaction.on_commit(forget_credentials)
    return sub_token, True


def rotate_secret(
    *, sub_token_id: uuid.UUID, grace: timedelta = DEFAULT_GRACE, actor: Actor, now: datetime
) -> IssuedSubToken:
    """Give a sub-token a new secret; the present one works on through `grace`, and not a moment longer.

    Tokens and policy stay. What a second rotation does to a grace is said in tenants/services/rotation.py. Raises
    SubTokenUnknown, AccountClosed when it is revoked, and GraceOutOfRange.
    """
    with transaction.atomic():
        (sub_token,) = _lock([sub_token_id])
        _require_alive(sub_token)
        before = {"prefix": sub_token.prefix}
        secret = replace_secret(sub_token, SecretKind.SUB_TOKEN, grace=grace, now=now)
        after = {"prefix": sub_token.prefix, "old_secret_ends_at": now + grace}
        record_act(sub_token, "sub_token.rotated", before=before, after=after, actor=actor, now=now)
        transaction.on_commit(forget_credentials)
    return IssuedSubToken(sub_token, secret)


def end_grace(*, sub_token_id: uuid.UUID, actor: Actor, now: datetime, reason: str = "") -> SubToken:
    """End every former secret of a sub-token that still works. Without any, nothing happens. Raises SubTokenUnknown."""
    with transaction.atomic():
        (sub_token,) = _lock([sub_token_id])
        prefixes = end_grace_of(sub_token, now=now)
        if prefixes:
            before = {"prefix": prefixes}
            record_act(sub_token, "sub_token.grace_ended", before=before, reason=reason, actor=actor, now=now)
            transaction.on_commit(forget_credentials)
    return sub_token


def revoke_sub_tokens(
    *, sub_token_ids: Iterable[uuid.UUID], reclaim: bool = False, reason: str = "", actor: Actor, now: datetime
) -> Outcome:
    """End sub-tokens for good. Their accounts take no new hold from this commit on.

    What is free in them waits to be reclaimed, or goes back to where it came from at once with `reclaim` (what is held
    stays; a capped one has nothing of its own to give back). Those revoked already stay as they are, but are emptied
    too. Raises SubTokenUnknown.
    """

    def revoke(sub_token: SubToken) -> bool:
        if sub_token.revoked_at is not None:
            return False
        sub_token.revoked_at, sub_token.next_reminder_at = now, None
        record_act(sub_token, "sub_token.revoked", before={"name": sub_token.name}, reason=reason, actor=actor, now=now)
        return True

    with transaction.atomic():
        outcome = _each(sub_token_ids, revoke, ["revoked_at", "next_reminder_at"], {"closed_at": now}, above=reclaim)
        if reclaim:
            for sub_token in [*outcome.changed, *outcome.unchanged]:
                outcome.reclaimed_mtok += _empty(sub_token, actor, now)
    return outcome


def revoke_sub_token(*, sub_token_id: uuid.UUID, reason: str = "", actor: Actor, now: datetime) -> SubToken:
    """End one sub-token for good, as `revoke_sub_tokens` does; doing it again changes nothing."""
    outcome = revoke_sub_tokens(sub_token_ids=[sub_token_id], reason=reason, actor=actor, now=now)
    (sub_token,) = [*outcome.changed, *outcome.unchanged]
    return sub_token


def suspend_sub_tokens(*, sub_token_ids: Iterable[uuid.UUID], actor: Actor, now: datetime) -> Outcome:
    """Let sub-tokens take no new call until they are resumed. Their accounts take no new hold from this commit on.

    Revoked and suspended ones stay as they are. Raises SubTokenUnknown.
    """

    def suspend(sub_token: SubToken) -> bool:
        if sub_token.revoked_at is not None or sub_token.suspended_at is not None:
            return False
        sub_token.suspended_at = now
        record_act(sub_token, "sub_token.suspended", after={"name": sub_token.name}, actor=actor, now=now)
        return True

    return _each(sub_token_ids, suspend, ["suspended_at"], {"closed_at": now})


def resume_sub_tokens(*, sub_token_ids: Iterable[uuid.UUID], actor: Actor, now: datetime) -> Outcome:
    """Let suspended sub-tokens take calls again; the others, revoked ones above all, stay as they are.

    Raises SubTokenUnknown.
    """

    def resume(sub_token: SubToken) -> bool:
        if sub_token.revoked_at is not None or sub_token.suspended_at is None:
            return False
        sub_token.suspended_at = None
        record_act(sub_token, "sub_token.resumed", after={"name": sub_token.name}, actor=actor, now=now)
        return True

    return _each(sub_token_ids, resume, ["suspended_at"], {"closed_at": None})


def expire_sub_tokens_at(
    *, sub_token_ids: Iterable[uuid.UUID], expires_at: datetime, actor: Actor, now: datetime
) -> Outcome:
    """Let sub-tokens end at another time, expired ones too; revoked ones stay as they are.

    Raises SubTokenUnknown and ExpiryOutOfRange.
    """
    check_expiry(expires_at, now)

    def extend(sub_token: SubToken) -> bool:
        if sub_token.revoked_at is not None or sub_token.expires_at == expires_at:
            return False
        before = {"expires_at": sub_token.expires_at}
        sub_token.expires_at, sub_token.next_reminder_at = expires_at, next_reminder(expires_at, now)
        after = {"expires_at": expires_at}
        record_act(sub_token, "sub_token.changed", before=before, after=after, actor=actor, now=now)
        return True

    return _each(sub_token_ids, extend, ["expires_at", "next_reminder_at"], {"expires_at": expires_at})


def require_not_revoked(outcome: Outcome) -> SubToken:
    """Return the sub-token that an act on a single one was about. Raises AccountClosed when it is revoked."""
    (sub_token,) = [*outcome.changed, *outcome.unchanged]
    _require_alive(sub_token)
    return sub_token


def _each(
    sub_token_ids: Iterable[uuid.UUID],
    act: Callable[[SubToken], bool],
    fields: list[str],
    account: dict[str, Any],
    *,
    above: bool = False,
) -> Outcome:
    """Do `act` to each sub-token, write its `fields` where that changed something, and mirror it onto the `account`."""
    outcome = Outcome()
    with transaction.atomic():
        for sub_token in _lock(sub_token_ids, above=above):
            (outcome.changed if act(sub_token) else outcome.unchanged).append(sub_token)
        SubToken.objects.bulk_update(outcome.changed, fields)
        Account.objects.filter(id__in=[one.account_id for one in outcome.changed]).update(**account)
        # This process need not believe its own copies until the time is up; the others do for less than a second.
        transaction.on_commit(forget_credentials)
    return outcome


def _lock(sub_token_ids: Iterable[uuid.UUID], *, above: bool = False) -> list[SubToken]:
    """Lock sub-tokens with their accounts, and with `above` what Tokens taken back would pass; return them fresh."""
    wanted = set(sub_token_ids)
    found = list(SubToken.objects.filter(id__in=wanted).select_related("account__parent"))
    if len(found) != len(wanted):
        raise SubTokenUnknown("There is no such sub-token.")
    accounts = {one.account_id for one in found}
    if above:
        for parent in {one.account.parent for one in found if one.account.parent}:
            way = way_from(parent)
            accounts |= {way.funding, *way.path}
    locked = lock_accounts(accounts)
    fresh = list(SubToken.objects.filter(id__in=wanted).order_by("id").select_for_update(no_key=True))
    for sub_token in fresh:
        sub_token.account = locked[sub_token.account_id]
    return fresh


def _empty(sub_token: SubToken, actor: Actor, now: datetime) -> int:
    if sub_token.account.mode != AccountMode.RING_FENCED:
        return 0
    taken = take_back(account=sub_token.account, mtok=None, actor=actor, now=now)
    if taken:
        record_act(sub_token, "sub_token.reclaimed", after={"mtok": taken}, actor=actor, now=now)
    return taken


def _require_alive(sub_token: SubToken) -> None:
    if sub_token.revoked_at is not None:
        raise AccountClosed("This sub-token was revoked; make a new one.")
