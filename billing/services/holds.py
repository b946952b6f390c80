"""Setting Tokens aside for work, and resolving that: thin doors to the functions in billing/migrations/sql."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import connection

from billing.enums import HoldOutcome, HoldStatus, ResolveOutcome
from billing.errors import (
    AccountClosed,
    AccountExpired,
    AccountUnknown,
    AmountInvalid,
    DebtOutstanding,
    HourlyLimitExceeded,
    IdempotencyMismatch,
    InsufficientTokens,
    LedgerError,
    QuotaExceeded,
)
from billing.models import Hold
from tenants.identifiers import new_id
from tenants.scope import organization_scope, platform_scope


@dataclass(frozen=True)
class PlacedHold:
    """A hold, and what its account can still spend; `duplicate` says that an earlier call had placed it."""

    hold_id: uuid.UUID
    available_mtok: int
    duplicate: bool = False


@dataclass(frozen=True)
class Capture:
    """How much of a hold to burn, and the id of the transfer that says so."""

    hold_id: uuid.UUID
    mtok: int
    transfer_id: uuid.UUID


@dataclass(frozen=True)
class CaptureResult:
    """What became of one capture, what its hold was captured for, and what its account can still spend."""

    outcome: ResolveOutcome
    captured_mtok: int
    available_mtok: int


def place_hold(
    *,
    organization_id: uuid.UUID,
    account_id: uuid.UUID,
    amount_mtok: int,
    idempotency_key: str,
    owner_id: uuid.UUID,
    deadline: datetime,
    now: datetime,
    hold_id: uuid.UUID | None = None,
) -> PlacedHold:
    """Set Tokens of an account aside until `deadline`, once per idempotency key.

    Opens its own scope; locks the account, the capped ones above it and the one that pays, then the limits that bind
    it. Raises AmountInvalid, AccountUnknown, AccountClosed, AccountExpired, DebtOutstanding, QuotaExceeded,
    HourlyLimitExceeded, InsufficientTokens, IdempotencyMismatch.
    """
    if amount_mtok <= 0:
        raise AmountInvalid("At least a thousandth of a Token must be held.")
    hold_id = hold_id or new_id()
    with organization_scope(organization_id), connection.cursor() as cursor:
        cursor.execute(
            "SELECT outcome, available_mtok, refusal FROM billing_place_hold(%s, %s, %s, %s, %s, %s, %s, %s)",
            [organization_id, account_id, hold_id, amount_mtok, idempotency_key, owner_id, deadline, now],
        )
        outcome, available, refusal = cursor.fetchone()
        if outcome == HoldOutcome.HELD:
            return PlacedHold(hold_id, available)
        if outcome == HoldOutcome.DUPLICATE:
            earlier = Hold.objects.get(organization_id=organization_id, idempotency_key=idempotency_key)
            if (earlier.account_id, earlier.amount_mtok, earlier.owner_id) != (account_id, amount_mtok, owner_id):
                raise IdempotencyMismatch(f"The idempotency key {idempotency_key!r} has another hold.")
            return PlacedHold(earlier.id, available, duplicate=True)
    raise _refusal(outcome, available, json.loads(refusal or "{}"))


def _refusal(outcome: str, available_mtok: int, refusal: dict[str, Any]) -> LedgerError:
    match HoldOutcome(outcome):
        case HoldOutcome.DEBT_OUTSTANDING:
            return DebtOutstanding(refusal["owed_mtok"])
        case HoldOutcome.INSUFFICIENT_TOKENS:
            return InsufficientTokens(available_mtok)
        case HoldOutcome.QUOTA_EXCEEDED:
            return QuotaExceeded(available_mtok)
        case HoldOutcome.HOURLY_LIMIT_EXCEEDED:
            return HourlyLimitExceeded(available_mtok)
        case HoldOutcome.ACCOUNT_CLOSED:
            return AccountClosed("The account is closed.")
        case HoldOutcome.ACCOUNT_EXPIRED:
            return AccountExpired("The account's time is over.")
        case _:
            return AccountUnknown("There is no such account to spend from.")


def capture_holds(*, captures: Sequence[Capture], now: datetime) -> dict[uuid.UUID, CaptureResult]:
    """Burn a batch of holds in one go, each once, and return what became of each by hold id.

    What a hold held beyond its `mtok` goes back. Resolved holds are left as they are and said to be so; more than was
    held is refused and leaves its hold open. Runs in the caller's transaction: platform_scope for a batch of several
    organizations. Locks all accounts involved.
    """
    items = [{"hold_id": str(c.hold_id), "mtok": c.mtok, "transfer_id": str(c.transfer_id)} for c in captures]
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT hold_id, outcome, captured_mtok, available_mtok FROM billing_capture_holds(%s, %s)",
            [json.dumps(items), now],
        )
        return {
            hold_id: CaptureResult(ResolveOutcome(outcome), captured, available)
            for hold_id, outcome, captured, available in cursor.fetchall()
        }


def release_holds(
    *, hold_ids: Iterable[uuid.UUID], now: datetime, status: HoldStatus = HoldStatus.RELEASED
) -> dict[uuid.UUID, ResolveOutcome]:
    """Give back all that a batch of holds set aside, each once, and return what became of each by hold id.

    Runs in the caller's transaction, like capture_holds. Locks all accounts involved.
    """
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT hold_id, outcome FROM billing_release_holds(%s::uuid[], %s, %s)",
            [list(hold_ids), status.value, now],
        )
        return {hold_id: ResolveOutcome(outcome) for hold_id, outcome in cursor.fetchall()}


def expire_overdue_holds(*, now: datetime, limit: int = 500) -> int:
    """Expire open holds whose deadline has passed, the longest overdue first, and return how many.

    The holds are picked without a lock and looked at again under their accounts' locks, as every operation takes
    accounts before holds; so a hold that is captured meanwhile stays captured, and sweepers may run side by side.
    """
    with platform_scope("expire overdue holds"):
        overdue = Hold.objects.filter(status=HoldStatus.HELD, deadline__lte=now).order_by("deadline")
        hold_ids = list(overdue.values_list("id", flat=True)[:limit])
        if not hold_ids:
            return 0
        outcomes = release_holds(hold_ids=hold_ids, now=now, status=HoldStatus.EXPIRED)
        return sum(outcome == ResolveOutcome.EXPIRED for outcome in outcomes.values())
