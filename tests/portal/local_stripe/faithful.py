"""Whether an answer has the shape that the stripe library's own classes describe, told as a list of differences."""

from __future__ import annotations

import typing
from decimal import Decimal, InvalidOperation
from typing import Any

from stripe import ListObject
from stripe._stripe_object import UntypedStripeObject

from portal.local.stripe import types

# Attributes of the library's own, and marks of what was deleted.
_OURS = frozenset({"OBJECT_NAME", "deleted", "last_response"})


def differences(answer: Any, cls: Any = None, path: str = "") -> list[str]:
    """Return what differs from the class that "object" names, or from `cls`."""
    if answer.get("object") == "list":
        return [found for item in answer["data"] for found in differences(item)]
    name = answer.get("object", "")
    return _object(answer, cls or types.resource(types.NAMES.get(name, name)), path or name)


def _object(value: dict[str, Any], cls: Any, path: str) -> list[str]:
    hints = types.hints(cls)
    found = [f"{path}.{name}: Stripe has no such attribute" for name in value if name not in hints]
    for name, hint in hints.items():
        if name in _OURS:
            continue
        if name in value:
            found += _value(value[name], hint, f"{path}.{name}")
        elif type(None) not in types.alternatives(hint):
            found.append(f"{path}.{name}: missing")
    return found


def _value(value: Any, hint: Any, path: str) -> list[str]:
    parts = types.alternatives(hint)
    if value is None:
        return [] if type(None) in parts or Any in parts else [f"{path}: null"]
    literals = types.words(hint)
    if isinstance(value, str) and literals:
        return [] if value in literals else [f"{path}: {value!r} is none of {literals}"]
    tried = [_part(value, part, path) for part in parts if part is not type(None)]
    if any(not one for one in tried):
        return []
    # The nested differences say more than "is not a ...".
    return max(tried, key=len) if tried else [f"{path}: {value!r}"]


def _part(value: Any, part: Any, path: str) -> list[str]:
    wrong = [f"{path}: {value!r} is no {part}"]
    origin = typing.get_origin(part)
    if part is Any or origin is typing.Literal:
        return [] if part is Any or value in typing.get_args(part) else wrong
    if origin is list:
        if not isinstance(value, list):
            return wrong
        (inner,) = typing.get_args(part)
        return [found for place, item in enumerate(value) for found in _value(item, inner, f"{path}[{place}]")]
    if origin is ListObject:
        if not isinstance(value, dict) or set(value) != {"object", "data", "has_more", "url"}:
            return wrong
        (inner,) = typing.get_args(part)
        return [found for place, item in enumerate(value["data"]) for found in _value(item, inner, f"{path}[{place}]")]
    if part is UntypedStripeObject or origin is UntypedStripeObject or part is dict or origin is dict:
        return [] if isinstance(value, dict) else wrong
    if types.is_object(part):
        return _object(value, part, path) if isinstance(value, dict) else wrong
    return [] if _scalar(value, part) else wrong


def _scalar(value: Any, part: Any) -> bool:
    if part is Decimal:
        try:
            return isinstance(value, str) and Decimal(value).is_finite()
        except InvalidOperation:
            return False
    if part is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    return type(value) is part
