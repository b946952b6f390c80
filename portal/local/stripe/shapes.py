"""Answers in the shape of the stripe library's own classes: every attribute is there, null where it may be."""

from __future__ import annotations

import typing
from typing import Any

from portal.local.stripe import types

_LEFT_OUT = frozenset({"deleted", "last_response"})


def fill(values: dict[str, Any], cls: type | None = None) -> dict[str, Any]:
    """Return an object with the attributes that it may lack, as null; `cls` follows from "object" where not given."""
    cls = cls or types.resource(types.NAMES.get(values["object"], values["object"]))
    filled = dict(values)
    for name, hint in types.hints(cls).items():
        if name in _LEFT_OUT:
            continue
        if name not in filled:
            if type(None) in types.alternatives(hint):
                filled[name] = None
            continue
        filled[name] = _fill_inside(filled[name], hint)
    return filled


def _fill_inside(value: Any, hint: Any) -> Any:
    for part in types.alternatives(hint):
        if isinstance(value, dict) and types.is_object(part) and types.hints(part) and value.get("object") is None:
            return fill(value, part)
        if isinstance(value, list) and typing.get_origin(part) is list:
            (inner,) = typing.get_args(part)
            return [_fill_inside(item, inner) for item in value]
    return value
