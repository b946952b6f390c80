"""Dividing Tokens: the parts are the whole, to the thousandth, and fair to within one."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.division import divide_by_weight, divide_equally

amounts = st.integers(0, 10**15)
weights = st.lists(
    st.decimals(0, 10**6, places=3, allow_nan=False) | st.integers(0, 10**6), min_size=1, max_size=200
).filter(any)


@given(amounts, st.integers(1, 1_000))
def test_equal_parts_sum_to_the_whole_and_differ_by_a_thousandth(mtok: int, parts: int) -> None:
    divided = divide_equally(mtok, parts)
    assert (len(divided), sum(divided)) == (parts, mtok)
    assert max(divided) - min(divided) <= 1
    assert divided == sorted(divided, reverse=True)


@given(amounts, weights)
def test_weighted_parts_sum_to_the_whole_and_are_less_than_a_thousandth_off(mtok: int, weights: list[Decimal]) -> None:
    divided = divide_by_weight(mtok, weights)
    assert sum(divided) == mtok
    whole = sum(Fraction(weight) for weight in weights)
    for part, weight in zip(divided, weights, strict=True):
        assert abs(part - mtok * Fraction(weight) / whole) < 1
        assert part >= 0


@given(amounts, weights)
def test_who_weighs_more_never_gets_less(mtok: int, weights: list[Decimal]) -> None:
    by_weight = sorted(zip(weights, divide_by_weight(mtok, weights), strict=True))
    for (light, less), (heavy, more) in pairwise(by_weight):
        assert less <= more or light == heavy


@given(amounts, weights, st.integers(1, 1_000))
def test_only_the_proportions_count(mtok: int, weights: list[Decimal], factor: int) -> None:
    assert divide_by_weight(mtok, weights) == divide_by_weight(mtok, [weight * factor for weight in weights])


@pytest.mark.parametrize(
    ("mtok", "weights", "expected"),
    [
        (10_000_000, [1, 1, 1], [3_333_334, 3_333_333, 3_333_333]),
        (10, [Decimal("0.5"), Decimal("0.25"), Decimal("0.25")], [5, 3, 2]),
        (100, [3, 2, 2], [43, 29, 28]),
        (1, [1, 2], [0, 1]),
        (7, [0, 1], [0, 7]),
    ],
)
def test_the_thousandths_that_are_left_over_go_where_most_was_lost(
    mtok: int, weights: list[Decimal], expected: list[int]
) -> None:
    assert divide_by_weight(mtok, weights) == expected


@pytest.mark.parametrize(
    ("mtok", "weights"),
    [(1, []), (1, [0]), (1, [1, -1]), (-1, [1]), (1, [Decimal("NaN")]), (1, [Decimal("Infinity"), 1])],
)
def test_nonsense_is_refused(mtok: int, weights: list[Decimal]) -> None:
    with pytest.raises(ValueError, match="weight"):
        divide_by_weight(mtok, weights)
