"""What the stripe library's own annotations say about requests and objects, for parameters and answers alike."""

from __future__ import annotations

import builtins
import sys
import types
import typing
from collections.abc import Mapping
from functools import cache
from typing import Any, Literal, Union

import stripe
import stripe._request_options
import stripe._stripe_context
from stripe import StripeObject

# Objects that bear another name than their class.
NAMES = {"line_item": "invoice_line_item", "item": "line_item", "invoiceitem": "invoice_item"}
OPTIONS = frozenset(stripe._request_options.RequestOptions.__annotations__)
_ELSEWHERE = {**vars(typing), **vars(stripe._request_options), **vars(stripe._stripe_context)}


class _Names(dict[str, Any]):
    """The names that the annotations of one class use, those imported for type checkers alone among them."""

    def __init__(self, module: str) -> None:
        super().__init__()
        self._module = vars(sys.modules[module])

    def __missing__(self, name: str) -> Any:
        for names in (self._module, vars(builtins), _ELSEWHERE):
            if name in names:
                return names[name]
        return getattr(stripe, name, Any)


@cache
def hints(cls: type) -> Mapping[str, Any]:
    """Return attribute -> type of a class of the library, its request options left out."""
    found = typing.get_type_hints(cls, localns=_Names(cls.__module__))
    return {
        name: hint
        for name, hint in found.items()
        if not name.startswith("_") and not (is_params(cls) and name in OPTIONS)
    }


def is_params(hint: Any) -> bool:
    """Tell whether a type is one of the library's TypedDicts."""
    return isinstance(hint, type) and hasattr(hint, "__required_keys__")


def is_object(hint: Any) -> bool:
    """Tell whether a type is a class of Stripe's objects, with attributes of its own."""
    return isinstance(hint, type) and issubclass(hint, StripeObject)


def alternatives(hint: Any) -> tuple[Any, ...]:
    """Return the members of a union, or the type itself."""
    if typing.get_origin(hint) in (Union, types.UnionType):
        return tuple(member for part in typing.get_args(hint) for member in alternatives(part))
    return (hint,)


def words(hint: Any) -> tuple[str, ...]:
    """Return what a type lists as literals; the library adds a plain `str` for values of later versions."""
    return tuple(
        word for part in alternatives(hint) if typing.get_origin(part) is Literal for word in typing.get_args(part)
    )


def resource(name: str) -> type:
    """Return a class of the library by the name that its objects bear: "checkout.session", "payment_intent"."""
    *folders, last = name.split(".")
    home: Any = stripe
    for folder in folders:
        home = getattr(home, folder)
    found: type = getattr(home, "".join(part.capitalize() for part in last.split("_")))
    return found


def inside(name: str, attribute: str) -> type:
    """Return a class that a class of the library holds: that of a nested object."""
    found: type = getattr(resource(name), attribute)
    return found


def parameters(name: str) -> type:
    """Return a TypedDict of the library's `params` by its name: "checkout.SessionCreateParams"."""
    home: Any = stripe.params
    *folders, last = name.split(".")
    for folder in folders:
        home = getattr(home, folder)
    found: type = getattr(home, last)
    return found
