"""One act on many sub-tokens, and what it will do in numbers. All run in the organization's scope."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from django.db import models, transaction
from django.utils.translation import gettext_lazy as _

from billing.enums import SubTokenMode
from billing.errors import SubTokenUnknown, TooMany
from billing.models import SubToken
from billing.queries.sub_tokens import states
from billing.services import sub_token_life as life
from billing.services.sub_tokens import check_expiry
from tenants.actors import Actor

# So many in one transaction: each is locked until all are done.
MOST = 500


class BulkAct(models.TextChoices):
    REVOKE = "revoke", _("Revoke")
    SUSPEND = "suspend", _("Suspend")
    RESUME = "resume", _("Resume")
    EXPIRE = "expire", _("Set the end")


@dataclass(frozen=True)
class Summary:
    """What an act does or did: to which sub-tokens, and what becomes of the Tokens that are theirs alone (mtok)."""

    act: BulkAct
    changed: list[SubToken]
    unchanged: list[SubToken]
    held_mtok: int
    reclaimed_mtok: int
    left_mtok: int


def preview(
    *,
    act: BulkAct,
    sub_token_ids: Sequence[uuid.UUID],
    reclaim: bool = False,
    expires_at: datetime | None = None,
    now: datetime,
) -> Summary:
    """Say what `carry_out` would do now. Raises as it does."""
    _check(sub_token_ids, act, expires_at, now)
    found = list(SubToken.objects.filter(id__in=sub_token_ids).order_by("id"))
    if len(found) != len(set(sub_token_ids)):
        raise SubTokenUnknown("There is no such sub-token.")
    changed = [one for one in found if _changes(act, one, expires_at)]
    unchanged = [one for one in found if not _changes(act, one, expires_at)]
    of_their_own = [one for one in states(found, now=now) if one.sub_token.mode == SubTokenMode.ALLOCATED]
    free = sum(one.balance.posted_mtok - one.balance.held_mtok for one in of_their_own)
    held = sum(one.balance.held_mtok for one in states(found, now=now))
    return Summary(act, changed, unchanged, held, free if reclaim else 0, 0 if reclaim else free)


def carry_out(
    *,
    act: BulkAct,
    sub_token_ids: Sequence[uuid.UUID],
    reclaim: bool = False,
    expires_at: datetime | None = None,
    actor: Actor,
    now: datetime,
) -> Summary:
    """Do one act to all of the sub-tokens or, if one is unknown, to none.

    `reclaim` goes with revoking, `expires_at` with setting the end. Locks as billing/services/sub_token_life.py says.
    Raises SubTokenUnknown, ExpiryOutOfRange, and TooMany above `MOST`.
    """
    _check(sub_token_ids, act, expires_at, now)
    with transaction.atomic():
        if act is BulkAct.REVOKE:
            done = life.revoke_sub_tokens(sub_token_ids=sub_token_ids, reclaim=reclaim, actor=actor, now=now)
        elif act is BulkAct.SUSPEND:
            done = life.suspend_sub_tokens(sub_token_ids=sub_token_ids, actor=actor, now=now)
        elif act is BulkAct.RESUME:
            done = life.resume_sub_tokens(sub_token_ids=sub_token_ids, actor=actor, now=now)
        else:
            assert expires_at is not None, "an end is set to a time"
            done = life.expire_sub_tokens_at(sub_token_ids=sub_token_ids, expires_at=expires_at, actor=actor, now=now)
        after = states([*done.changed, *done.unchanged], now=now)
    own = [one.balance for one in after if one.sub_token.mode == SubTokenMode.ALLOCATED]
    return Summary(
        act=act,
        changed=done.changed,
        unchanged=done.unchanged,
        held_mtok=sum(one.balance.held_mtok for one in after),
        reclaimed_mtok=done.reclaimed_mtok,
        left_mtok=sum(balance.posted_mtok - balance.held_mtok for balance in own),
    )


def _check(sub_token_ids: Sequence[uuid.UUID], act: BulkAct, expires_at: datetime | None, now: datetime) -> None:
    if len(sub_token_ids) > MOST:
        raise TooMany(f"At most {MOST} sub-tokens are changed in one act.")
    if act is BulkAct.EXPIRE and expires_at is not None:
        check_expiry(expires_at, now)


def _changes(act: BulkAct, sub_token: SubToken, expires_at: datetime | None) -> bool:
    if sub_token.revoked_at is not None:
        return False
    match act:
        case BulkAct.SUSPEND:
            return sub_token.suspended_at is None
        case BulkAct.RESUME:
            return sub_token.suspended_at is not None
        case BulkAct.EXPIRE:
            return sub_token.expires_at != expires_at
    return True
