"""Dividing Tokens exactly: the parts sum to the whole, to the thousandth.

The method of the largest remainder: each part gets its exact share rounded down, and the thousandths that are left over
go one each to the parts whose shares lost most by the rounding; among equals, to the earlier ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from fractions import Fraction


def divide_equally(mtok: int, parts: int) -> list[int]:
    """Return `parts` amounts that sum to `mtok` and differ by a thousandth at most, the larger ones first."""
    return divide_by_weight(mtok, [1] * parts)


def divide_by_weight(mtok: int, weights: Sequence[int | Decimal]) -> list[int]:
    """Return amounts that sum to `mtok`, each less than a thousandth away from its exact share.

    share = mtok * weight / sum of all weights. Raises ValueError unless there are weights, all of them finite, none
    negative and one positive, and `mtok` is not negative.
    """
    if mtok < 0 or any(not Decimal(weight).is_finite() or weight < 0 for weight in weights):
        raise ValueError("amounts and weights are finite and not negative")
    exact = [Fraction(weight) for weight in weights]
    whole = sum(exact)
    if not whole:
        raise ValueError("at least one weight must be positive")
    shares = [mtok * weight / whole for weight in exact]
    parts = [int(share) for share in shares]
    by_loss = sorted(range(len(parts)), key=lambda index: (parts[index] - shares[index], index))
    for index in by_loss[: mtok - sum(parts)]:
        parts[index] += 1
    return parts
