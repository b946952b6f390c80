"""Whose secret is this? For secrets that turn up where they should not be. Needs a scope, and looks within it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from billing.models import RetiredSecret, SubToken
from tenants.secrets import hash_secret

MOST_FOUND = 50


@dataclass(frozen=True)
class FoundSecret:
    """A secret, how it begins, and its sub-token. `ends_at` is None for the sub-token's newest."""

    prefix: str
    sub_token: SubToken
    ends_at: datetime | None = None

    def state_at(self, now: datetime) -> str:
        """Return `current`, `grace` for an older one that works on, or `ended`."""
        if self.ends_at is None:
            return "current"
        return "grace" if self.ends_at > now else "ended"


def secret_like(secret: str) -> list[FoundSecret]:
    """Return the sub-token that a secret opens or once opened, as a list of at most one."""
    return _found({"secret_hash": hash_secret(secret)})


def secrets_beginning(prefix: str) -> list[FoundSecret]:
    """Return the secrets that begin like this, the newest first, at most 50."""
    return _found({"prefix__startswith": prefix})


def _found(where: dict[str, str]) -> list[FoundSecret]:
    current = SubToken.objects.filter(**where).select_related("account").order_by("-id")[:MOST_FOUND]
    former = RetiredSecret.objects.filter(**where).select_related("sub_token__account").order_by("-id")[:MOST_FOUND]
    found = [FoundSecret(one.prefix, one) for one in current]
    return [*found, *(FoundSecret(one.prefix, one.sub_token, one.ends_at) for one in former)][:MOST_FOUND]
