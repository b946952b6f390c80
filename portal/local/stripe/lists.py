"""Pages of a list, newest first, and objects in the place of their ids."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import Any

from portal.local.stripe.errors import invalid
from portal.local.stripe.world import PREFIXES, Json, World

MOST = 100
# Lists that an object holds only where they are asked for: (kind, attribute) -> the items of it.
INCLUDABLE: dict[tuple[str, str], Callable[[World, Json], list[Json]]] = {}


def as_list(items: Sequence[Json], url: str, *, more: bool = False) -> Json:
    """Return a list object."""
    return {"object": "list", "data": list(items), "has_more": more, "url": url}


def page(items: Sequence[Json], params: Json, url: str, *, newest_first: bool = True) -> Json:
    """Return the page of `items` (oldest first) that limit, starting_after, ending_before and created ask for."""
    limit = params.get("limit", 10)
    if not 1 <= limit <= MOST:
        raise invalid(f"This value must be between 1 and {MOST}.", "parameter_invalid_integer", "limit")
    ordered = [item for item in items if _made_within(item, params.get("created"))]
    if newest_first:
        ordered.reverse()
    if after := params.get("starting_after"):
        ordered = ordered[_position(ordered, after, "starting_after") + 1 :]
        return as_list(ordered[:limit], url, more=len(ordered) > limit)
    if before := params.get("ending_before"):
        ordered = ordered[: _position(ordered, before, "ending_before")]
        return as_list(ordered[-limit:], url, more=len(ordered) > limit)
    return as_list(ordered[:limit], url, more=len(ordered) > limit)


def _position(items: Sequence[Json], identifier: str, param: str) -> int:
    for position, item in enumerate(items):
        if item["id"] == identifier:
            return position
    raise invalid(f"No such object: '{identifier}'", "resource_missing", param)


def _made_within(item: Json, created: Any) -> bool:
    if created is None:
        return True
    moment = item["created"]
    if isinstance(created, int):
        return bool(moment == created)
    checks = {"gt": moment.__gt__, "gte": moment.__ge__, "lt": moment.__lt__, "lte": moment.__le__}
    return all(checks[name](bound) for name, bound in created.items())


def expand(world: World, answer: Json, paths: Sequence[str]) -> Json:
    """Return the answer with the objects that `paths` name ("data.payment_intent.latest_charge") in place of ids."""
    expanded = copy.deepcopy(answer)
    for path in paths:
        if path.count(".") > 3:
            raise invalid(
                "You cannot expand more than 4 levels of a property.", "property_expansion_too_deep", "expand"
            )
        _expand(world, expanded, path.split("."), path)
    return expanded


def _expand(world: World, holder: Any, names: Sequence[str], path: str) -> None:
    if isinstance(holder, list):
        for item in holder:
            _expand(world, item, names, path)
        return
    name, *rest = names
    include = INCLUDABLE.get((holder.get("object", ""), name))
    if include and not holder.get(name):
        holder[name] = as_list(copy.deepcopy(include(world, holder)), f"/v1/{holder['object']}s/{holder['id']}/{name}")
    if name not in holder:
        raise invalid(f"This property cannot be expanded ({path}).", None, "expand")
    value = holder[name]
    if isinstance(value, str):
        kind = PREFIXES.get(value.split("_", 1)[0], "")
        if value not in world.objects.get(kind, {}):
            raise invalid(f"This property cannot be expanded ({path}).", None, "expand")
        holder[name] = copy.deepcopy(world.objects[kind][value])
    if rest and holder[name] is not None:
        _expand(world, holder[name], rest, path)
