"""How a part of the API is declared: an address, what answers it, and the parameters that it acts on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from portal.local.stripe import types
from portal.local.stripe.world import Json

LIST = "limit starting_after ending_before expand"


@dataclass(frozen=True)
class Route:
    """`params` names a TypedDict of stripe.params; `supported` the parameters of it that are acted on, as paths."""

    method: str
    path: str
    answer: Callable[..., Json]
    params: str
    supported: str = ""

    @property
    def names(self) -> frozenset[str]:
        """The supported parameters."""
        return frozenset(self.supported.split()) | ({"expand"} & types.hints(types.parameters(self.params)).keys())
