"""Who does something: a member, a management key, somebody of the platform's staff, or the platform itself."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from enum import StrEnum


class ActorKind(StrEnum):
    USER = "user"
    MANAGEMENT_KEY = "management_key"
    STAFF = "staff"
    PLATFORM = "platform"


@dataclass(frozen=True)
class Actor:
    """Who does something, and from which address. `str(actor)` is what ledgers and logs keep: `user:<id>`."""

    kind: ActorKind
    id: uuid.UUID | None = None
    name: str = ""
    ip: str | None = None

    def __str__(self) -> str:
        return self.kind.value if self.id is None else f"{self.kind.value}:{self.id}"


PLATFORM = Actor(ActorKind.PLATFORM, name="platform")


def user_actor(user_id: uuid.UUID, name: str, ip: str | None = None) -> Actor:
    """Return the actor for a person; `name` is the mail address at this time."""
    return Actor(ActorKind.USER, user_id, name, ip)


def management_key_actor(key_id: uuid.UUID, name: str, ip: str | None = None) -> Actor:
    """Return the actor for a management key."""
    return Actor(ActorKind.MANAGEMENT_KEY, key_id, name, ip)


def staff_actor(user_id: uuid.UUID, name: str, ip: str | None = None) -> Actor:
    """Return the actor for somebody of the platform's staff, who acts for the platform and not as a member."""
    return Actor(ActorKind.STAFF, user_id, name, ip)
