"""Sub-tokens as every call sees them: found by their secret, kept in memory for less than a second."""

from __future__ import annotations

import time
import uuid
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from threading import Lock
from typing import Any

import orjson
from django.utils import timezone

from billing.models import SubToken
from billing.queries.plans import PlanTerms
from billing.queries.rate_levels import RateLevels, rate_levels
from tenants.api.credentials import refuse_address, refuse_closing, refuse_dead, refuse_frozen, refuse_replaced
from tenants.api.problems import Problem
from tenants.secrets import hash_secret

# Revoked must mean dead within one second in every process, so no process may believe a copy for longer than this.
CACHE_SECONDS = 0.8
CACHE_SIZE = 20_000


@dataclass(frozen=True, slots=True)
class Credential:
    """A sub-token's identity and policy. None or an empty tuple means: as the plan allows."""

    organization_id: uuid.UUID
    sub_token_id: uuid.UUID
    account_id: uuid.UUID
    name: str
    mode: str
    expires_at: datetime
    revoked_at: datetime | None
    suspended_at: datetime | None
    requests_per_second: Decimal | None
    burst: int | None
    concurrency: int | None
    models: tuple[str, ...]
    tasks: tuple[str, ...]
    ip_allow_list: tuple[str, ...]
    on_exhausted: str
    priority_class: int
    rates: RateLevels
    # None before the organization has a wallet, when there is nothing to spend either.
    plan: PlanTerms | None = None
    # When the secret that was presented stops working, because a newer one replaced it; None for the newest.
    secret_ends_at: datetime | None = None
    # Since when staff let nothing be spent in its organization.
    frozen_at: datetime | None = None
    # Since when the organization is being deleted; None where it is not.
    closing_since: datetime | None = None

    @classmethod
    def of(cls, sub_token: SubToken, above: dict[str, Any] | None = None) -> Credential:
        """Return the credential that this sub-token is to whoever has the secret that it was found by.

        `above` is what `billing_rate_levels` says of it; its own policy bounds it in any case.
        """
        terms = (above or {}).get("plan")
        plan = PlanTerms.of(terms) if terms else None
        return cls(
            organization_id=sub_token.organization_id,
            sub_token_id=sub_token.id,
            account_id=sub_token.account_id,
            name=sub_token.name,
            mode=sub_token.mode,
            expires_at=sub_token.expires_at,
            revoked_at=sub_token.revoked_at,
            suspended_at=sub_token.suspended_at,
            requests_per_second=sub_token.requests_per_second,
            burst=sub_token.burst,
            concurrency=sub_token.concurrency,
            models=tuple(sub_token.models),
            tasks=tuple(sub_token.tasks),
            ip_allow_list=tuple(sub_token.ip_allow_list),
            on_exhausted=sub_token.on_exhausted,
            priority_class=sub_token.priority_class,
            rates=RateLevels.of(sub_token, above, plan),
            plan=plan,
            secret_ends_at=sub_token.secret_ends_at,
            frozen_at=sub_token.organization_frozen_at,
            closing_since=sub_token.closing_since,
        )

    def require_live(self, now: datetime) -> None:
        """Raise why it may not be used at `now`: revoked, expired, suspended, its organization frozen or closing."""
        refuse_dead(self.revoked_at, self.expires_at, now, "sub-token")
        refuse_replaced(self.secret_ends_at, now)
        if self.suspended_at is not None:
            raise Problem("suspended_token", "This sub-token is suspended. An admin of its organization can resume it.")
        refuse_frozen(self.frozen_at)
        refuse_closing(self.closing_since)

    def require_address(self, ip: str | None) -> None:
        """Raise `ip_not_allowed` when the policy lists addresses, and this is none of them."""
        refuse_address(ip, self.ip_allow_list, "sub-token")

    def allows_model(self, model: str, task: str) -> bool:
        """Return whether plan and policy allow a model and its task."""
        try:
            self.require_model(model, task)
        except Problem:
            return False
        return True

    def require_model(self, model: str, task: str) -> None:
        """Raise `model_not_allowed` or `task_not_allowed` unless plan and policy allow the model and its task."""
        if self.plan and self.plan.models and model not in self.plan.models:
            raise Problem(
                "model_not_allowed",
                f"Your plan, {self.plan.name}, does not include the model {model}.",
                allowed=self.plan.models,
                plan=self.plan.key,
                upgrade_url=self.plan.upgrade_url,
            )
        if self.models and model not in self.models:
            raise Problem("model_not_allowed", f"This sub-token may not use the model {model}.", allowed=self.models)
        if self.tasks and task not in self.tasks:
            raise Problem("task_not_allowed", f"This sub-token may not run {task} models.", allowed=self.tasks)


# One statement, hence one state: a rotation that commits meanwhile cannot hide a secret from both functions.
FIND = """
SELECT found.*, old.ends_at AS secret_ends_at, tenants_frozen_at(found.org_id) AS organization_frozen_at,
    tenants_organization_closing(found.org_id) AS closing_since,
    billing_rate_levels_by_hash(%(hash)s) AS rate_levels
FROM billing_sub_token_by_hash(%(hash)s) AS found
LEFT JOIN billing_retired_secret_by_hash(%(hash)s) AS old ON true
"""

_cache: dict[str, tuple[float, Credential | None]] = {}
_cache_lock = Lock()


def credential_for_secret(secret: str) -> Credential | None:
    """Return the credential that a secret opens, revoked and expired ones too, or None.

    Needs no scope: the SQL function behind it answers only to whoever has the secret. One round trip to the database
    at most, none when this process asked less than `CACHE_SECONDS` ago.
    """
    secret_hash = hash_secret(secret)
    asked_at = time.monotonic()
    cached = _cache.get(secret_hash)
    if cached and asked_at - cached[0] < CACHE_SECONDS and not _is_over(cached[1]):
        return cached[1]
    found: Any = next(iter(SubToken.objects.raw(FIND, {"hash": secret_hash})), None)
    credential = Credential.of(found, orjson.loads(found.rate_levels)) if found else None
    with _cache_lock:
        if len(_cache) >= CACHE_SIZE:
            _cache.clear()
        # Aged from before the question, so that a revocation committed meanwhile is seen in time.
        _cache[secret_hash] = (asked_at, credential)
    return credential


def _is_over(credential: Credential | None) -> bool:
    """Return whether the plan's terms have changed by themselves since they were read: a boost has ended, or begun."""
    changes_at = credential.plan.changes_at if credential and credential.plan else None
    return changes_at is not None and changes_at <= timezone.now()


def credential_for_sub_token(organization_id: uuid.UUID, sub_token_id: uuid.UUID) -> Credential | None:
    """Return the credential of one sub-token, for use by a signed-in member. Needs the organization's scope."""
    sub_token = SubToken.objects.filter(organization_id=organization_id, id=sub_token_id).first()
    return Credential.of(sub_token, rate_levels(organization_id, sub_token.account_id)) if sub_token else None


def forget_credentials() -> None:
    """Empty this process's cache."""
    with _cache_lock:
        _cache.clear()
