"""Sub-tokens as every call sees them: found by their secret, kept in memory for less than a second."""

from __future__ import annotations

import time
import uuid
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from threading import Lock
from typing import Any

from django.db import connection

from tenants.api.credentials import refuse_dead
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
    expires_at: datetime | None
    revoked_at: datetime | None
    requests_per_second: Decimal | None
    burst: int | None
    concurrency: int | None
    models: tuple[str, ...]
    tasks: tuple[str, ...]
    ip_allow_list: tuple[str, ...]
    on_exhausted: str
    priority_class: int

    def require_live(self, now: datetime) -> None:
        """Raise `revoked_token` or `expired_token` when the sub-token may no longer be used at `now`."""
        refuse_dead(self.revoked_at, self.expires_at, now, "sub-token")

    def require_model(self, model: str, task: str) -> None:
        """Raise `model_not_allowed` or `task_not_allowed` when the policy does not list the model or its task."""
        if self.models and model not in self.models:
            raise Problem("model_not_allowed", f"This sub-token may not use the model {model}.", allowed=self.models)
        if self.tasks and task not in self.tasks:
            raise Problem("task_not_allowed", f"This sub-token may not run {task} models.", allowed=self.tasks)


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
    if cached and asked_at - cached[0] < CACHE_SECONDS:
        return cached[1]
    credential = _read("SELECT * FROM billing_credential_by_hash(%s)", [secret_hash])
    with _cache_lock:
        if len(_cache) >= CACHE_SIZE:
            _cache.clear()
        # Aged from before the question, so that a revocation committed meanwhile is seen in time.
        _cache[secret_hash] = (asked_at, credential)
    return credential


def credential_for_sub_token(organization_id: uuid.UUID, sub_token_id: uuid.UUID) -> Credential | None:
    """Return the credential of one sub-token of the organization in scope, for use on behalf of a signed-in member."""
    return _read(
        "SELECT * FROM billing_credential_by_id(%s, %s)",
        [organization_id, sub_token_id],
    )


def forget_credentials() -> None:
    """Empty this process's cache."""
    with _cache_lock:
        _cache.clear()


def _read(sql: str, parameters: list) -> Credential | None:
    with connection.cursor() as cursor:
        cursor.execute(sql, parameters)
        row = cursor.fetchone()
    if row is None:
        return None
    values: list[Any] = [tuple(value) if isinstance(value, list) else value for value in row]
    return Credential(*values)
