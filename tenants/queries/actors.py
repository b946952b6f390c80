"""The names behind the actors that ledgers keep as `user:<id>`."""

from __future__ import annotations

import uuid
from collections.abc import Iterable

from tenants.actors import ActorKind
from tenants.models import ManagementKey, Membership


def actor_names(actors: Iterable[str]) -> dict[str, str]:
    """Return what to call each of these actors (`str(Actor)`), for the organization in scope.

    A person is called by the mail address, a management key by its name. Who is no longer there is left out, and so is
    the platform.
    """
    kinds: dict[str, set[uuid.UUID]] = {}
    for actor in set(actors):
        kind, _colon, identifier = actor.partition(":")
        if kind in (ActorKind.USER, ActorKind.MANAGEMENT_KEY):
            kinds.setdefault(kind, set()).add(uuid.UUID(identifier))
    people = Membership.objects.filter(user_id__in=kinds.get(ActorKind.USER, ())).values_list("user_id", "user__email")
    keys = ManagementKey.objects.filter(id__in=kinds.get(ActorKind.MANAGEMENT_KEY, ())).values_list("id", "name")
    return {f"{ActorKind.USER}:{identifier}": email for identifier, email in people} | {
        f"{ActorKind.MANAGEMENT_KEY}:{identifier}": name for identifier, name in keys
    }
