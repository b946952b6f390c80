"""Requests from their form encoding to values of the types that the stripe library documents, or a refusal."""

from __future__ import annotations

import re
import typing
from collections.abc import Collection, Iterable, Mapping
from decimal import Decimal, InvalidOperation
from typing import Any

from portal.local.stripe import types
from portal.local.stripe.errors import StripeError, invalid

_NOTHING = object()


_PARTS = re.compile(r"\[([^\[\]]*)\]")


def decode(form: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    """Return `a[b][0]=c` and `a[b][]=c` as {"a": {"b": ["c"]}}. Raises StripeError for a name of no such form."""
    tree: dict[str, Any] = {}
    for name, value in form:
        first, bracket, rest = name.partition("[")
        parts = [first, *_PARTS.findall(bracket + rest)]
        if name != first + "".join(f"[{part}]" for part in parts[1:]):
            raise invalid(f"Invalid parameter name: {name}", "parameter_unknown", name)
        below = tree
        for part in parts[:-1]:
            below = below.setdefault(part or str(len(below)), {})
            if not isinstance(below, dict):
                raise invalid(f"Invalid {first}: a value and its parts at once", None, first)
        below[parts[-1] or str(len(below))] = value
    return {name: _lists(value) for name, value in tree.items()}


def _lists(value: Any) -> Any:
    """Return what has numbers for names as a list, in their order."""
    if not isinstance(value, dict):
        return value
    if value and all(name.isdecimal() for name in value):
        return [_lists(value[name]) for name in sorted(value, key=int)]
    return {name: _lists(part) for name, part in value.items()}


def accept(data: Mapping[str, Any], params: type, supported: Collection[str]) -> dict[str, Any]:
    """Return `data` in the types of `params`. Raises StripeError for what Stripe does not know or we do not act on."""
    accepted = _accept_dict(data, params, "")
    for path in _paths(accepted):
        if not any(path == name or path.startswith(f"{name}.") or name.startswith(f"{path}.") for name in supported):
            raise invalid(
                f"Stripe knows the parameter {path}, but this local stand-in does not act on it.",
                "parameter_unsupported_by_stand_in",
                path,
            )
    return accepted


def _paths(data: Mapping[str, Any], above: str = "") -> list[str]:
    found = []
    for name, value in data.items():
        path = f"{above}{name}"
        found.append(path)
        for part in value if isinstance(value, list) else [value]:
            if isinstance(part, dict):
                found += _paths(part, f"{path}.")
    return found


def _accept_dict(data: Mapping[str, Any], params: type, above: str) -> dict[str, Any]:
    hints = types.hints(params)
    accepted = {}
    for name, value in data.items():
        path = f"{above}[{name}]" if above else name
        if name not in hints:
            raise invalid(f"Received unknown parameter: {path}", "parameter_unknown", path)
        accepted[name] = _accept(value, hints[name], path)
    for name in params.__required_keys__:  # type: ignore[attr-defined]
        if name not in accepted and name in hints:
            path = f"{above}[{name}]" if above else name
            raise invalid(f"Missing required param: {path}.", "parameter_missing", path)
    return accepted


def _accept(value: Any, hint: Any, path: str) -> Any:
    """Try the members of a union one by one, the structured ones first; an empty text unsets."""
    refusal: StripeError | None = None
    literals = types.words(hint)
    if isinstance(value, str) and literals:
        if value in literals:
            return None if value == "" else value
        if all(part is str or types.typing.get_origin(part) is typing.Literal for part in types.alternatives(hint)):
            listed = ", ".join(word for word in literals if word)
            raise invalid(f"Invalid {path}: must be one of {listed}", None, path)
    for part in sorted(types.alternatives(hint), key=lambda part: part is str):
        try:
            found = _accept_one(value, part, path)
        except StripeError as error:
            refusal = error
            continue
        if found is not _NOTHING:
            return found
    if value == "":
        return None
    raise refusal or invalid(f"Invalid {path}", None, path)


def _accept_one(value: Any, hint: Any, path: str) -> Any:
    if types.is_params(hint):
        return _accept_dict(value, hint, path) if isinstance(value, dict) else _NOTHING
    origin = typing.get_origin(hint)
    if origin is list:
        if not isinstance(value, list):
            return _NOTHING
        (inner,) = typing.get_args(hint)
        return [_accept(part, inner, f"{path}[{position}]") for position, part in enumerate(value)]
    if origin is dict or types.is_object(hint) or types.is_object(origin):
        return {k: str(v) for k, v in value.items()} if isinstance(value, dict) else _NOTHING
    return _accept_scalar(value, hint, path)


def _accept_scalar(value: Any, hint: Any, path: str) -> Any:
    if not isinstance(value, str) or hint is type(None):
        return _NOTHING
    if hint is bool:
        if value not in ("true", "false"):
            raise invalid(f"Invalid boolean: {value}", "parameter_invalid_boolean", path)
        return value == "true"
    if hint is int:
        if not value.removeprefix("-").isdecimal():
            raise invalid(f"Invalid integer: {value}", "parameter_invalid_integer", path)
        return int(value)
    if hint in (Decimal, float):
        try:
            return str(Decimal(value))
        except InvalidOperation:
            raise invalid(f"Invalid decimal: {value}", None, path) from None
    return value if hint is str else _NOTHING
