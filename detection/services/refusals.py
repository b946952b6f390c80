"""What a caller is told whom admission refused: what was in the way, on which level, and what helps."""

from __future__ import annotations

import math
import uuid
from datetime import datetime
from typing import Any

from django.conf import settings

from billing.enums import Level
from billing.queries.credentials import Credential, credential_for_sub_token
from detection.services.answers import time_text, tokens
from tenants.api.problems import Problem
from tenants.models import Organization
from tenants.scope import organization_scope

_WHOSE = {
    Level.ORGANIZATION: "your organization",
    Level.TEAM: "this sub-token's team",
    Level.SUB_TOKEN: "this sub-token",
}
_WHAT = {
    "tokens_per_hour": "Tokens per hour",
    "tokens_per_day": "Tokens per day",
    "tokens_per_month": "Tokens per month",
    "tokens_total": "Tokens in all",
}


def refusal(
    outcome: str,
    refused: dict[str, Any] | None,
    *,
    credential: Credential,
    price_mtok: int,
    available_mtok: int,
    now: datetime,
) -> Problem:
    """Return the problem for what `detection_admit` answered, and the `refused` that came with it.

    `refused` is `{"limit", "level", "account"}`, for a limit of a period with `resets_at` (RFC 3339 or None),
    `limit_mtok`, `used_mtok` and `plan`, which says that it is the plan's ceiling, for a debt with `owed_mtok`.
    `Retry-After` stands only where waiting helps: not for Tokens, quotas and limits in all, nor for a call that costs
    more than the limit ever allows.
    """
    match outcome:
        case "mismatch":
            return Problem("idempotency_mismatch", "This Idempotency-Key was used for another request.")
        case "account_closed":
            return _closed(credential, now)
        case "account_expired":
            return Problem("expired_token", "This sub-token expired.")
    if refused is None:
        raise RuntimeError(f"admission answered {outcome!r} and said no more")
    if outcome == "debt_outstanding":
        owed = tokens(refused["owed_mtok"])
        return Problem(
            outcome,
            f"Your organization owes {owed} Tokens: they were spent, and their money went back. Nothing is spent until"
            " that is settled, as the next top-up does first.",
            headers={"Tokens-Used": "0"},
            debt_tokens=owed,
            top_up_url=top_up_url(credential.organization_id),
        )
    needed, remaining = tokens(price_mtok), tokens(max(available_mtok, 0))
    problem = Problem(
        outcome,
        f"{_detail(refused, credential)} This call costs {needed}; {remaining} Tokens can be spent.",
        headers={"Tokens-Used": "0", "Tokens-Remaining": str(remaining)},
        level=refused["level"],
        limit=refused["limit"],
        needed_tokens=needed,
        remaining_tokens=remaining,
    )
    if refused.get("plan") and credential.plan:
        problem.extra |= {"plan": credential.plan.key, "upgrade_url": credential.plan.upgrade_url}
    if "limit_mtok" in refused:
        problem.extra["limit_tokens"] = tokens(refused["limit_mtok"])
        problem.extra["used_tokens"] = tokens(refused["used_mtok"])
        resets_at = datetime.fromisoformat(refused["resets_at"]) if refused["resets_at"] else None
        problem.extra["resets_at"] = time_text(resets_at)
        if resets_at and price_mtok <= refused["limit_mtok"]:
            problem.headers["Retry-After"] = str(max(1, math.ceil((resets_at - now).total_seconds())))
    else:
        problem.extra["top_up_url"] = top_up_url(credential.organization_id)
    return problem


def top_up_url(organization_id: uuid.UUID) -> str:
    """Return the page on which an organization gets more Tokens. Opens its own scope."""
    with organization_scope(organization_id):
        slug = Organization.objects.values_list("slug", flat=True).get(id=organization_id)
    return f"{settings.BASE_URL}/o/{slug}/billing/top-up/"


def _closed(credential: Credential, now: datetime) -> Problem:
    """Say why an account is closed that was open when the credential was read, less than a second ago."""
    with organization_scope(credential.organization_id):
        fresh = credential_for_sub_token(credential.organization_id, credential.sub_token_id)
    try:
        if fresh is not None:
            fresh.require_live(now)
    except Problem as problem:
        return problem
    return Problem("revoked_token", "This sub-token was revoked.")


def _detail(refused: dict[str, Any], credential: Credential) -> str:
    by_plan = refused.get("plan") and credential.plan
    whose = f"your plan, {by_plan.name}" if by_plan else _WHOSE[Level(refused["level"])]
    match refused["limit"]:
        case "tokens":
            return f"There are not enough Tokens left in {whose}."
        case "quota":
            return f"The quota of {whose} has no room for this call."
        case name:
            ceiling, used = tokens(refused["limit_mtok"]), tokens(refused["used_mtok"])
            return f"The limit of {whose}, {ceiling} {_WHAT[name]}, has no room for this call: {used} are used."
