"""Prices are exact to the thousandth."""

from decimal import ROUND_HALF_UP, Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.pricing import DEFAULT_PARAMETERS, InvalidPricesError, NoPriceError, Prices, price_mtok

DEFAULT = Prices.from_parameters(1, "formula", DEFAULT_PARAMETERS)
LETTERS = "nsmlx"
sizes = st.integers(32, 4096)


@pytest.mark.parametrize(
    ("letter", "img_size", "mtok"),
    [
        ("s", 640, 1000),  # the first fixed point
        ("l", 960, 5625),  # the second
        ("n", 640, 700),
        ("m", 640, 1800),
        ("x", 640, 4000),
        ("x", 1280, 16000),
        ("n", 320, 175),
        ("n", 32, 10),  # the minimum charge; the formula says 1.75 mtok
        ("n", 1216, 2527),
        ("s", 608, 903),  # 902.5 rounds half up
    ],
)
def test_the_formula(letter: str, img_size: int, mtok: int) -> None:
    assert price_mtok(DEFAULT, letter=letter, img_size=img_size) == mtok


@given(st.sampled_from(LETTERS), sizes)
def test_the_formula_agrees_with_decimal_arithmetic(letter: str, img_size: int) -> None:
    beta = Decimal(DEFAULT_PARAMETERS["betas"][letter])
    tokens = (Decimal(img_size * img_size) * beta / Decimal(409600)).quantize(Decimal("0.001"), ROUND_HALF_UP)
    assert price_mtok(DEFAULT, letter=letter, img_size=img_size) == max(int(tokens * 1000), 10)


@given(st.sampled_from(LETTERS), sizes, sizes)
def test_a_larger_size_never_costs_less(letter: str, one: int, other: int) -> None:
    small, large = sorted((one, other))
    assert price_mtok(DEFAULT, letter=letter, img_size=small) <= price_mtok(DEFAULT, letter=letter, img_size=large)


@given(sizes)
def test_a_larger_model_never_costs_less(img_size: int) -> None:
    prices = [price_mtok(DEFAULT, letter=letter, img_size=img_size) for letter in LETTERS]
    assert prices == sorted(prices)


def test_flat() -> None:
    prices = Prices.from_parameters(2, "flat", {"tokens": "0.25", "minimum_tokens": "0.01"})
    assert {price_mtok(prices, letter=letter, img_size=1280) for letter in LETTERS} == {250}


@pytest.mark.parametrize(("width", "height", "mtok"), [(1000, 1000, 1500), (1920, 1080, 3110), (10, 10, 10)])
def test_per_megapixel(width: int, height: int, mtok: int) -> None:
    prices = Prices.from_parameters(2, "per_megapixel", {"tokens": "1.5", "minimum_tokens": "0.01"})
    assert price_mtok(prices, letter="n", img_size=640, width=width, height=height) == mtok


def test_per_megapixel_needs_the_image() -> None:
    prices = Prices.from_parameters(2, "per_megapixel", {"tokens": "1.5", "minimum_tokens": "0.01"})
    with pytest.raises(NoPriceError):
        price_mtok(prices, letter="n", img_size=640)


TABLE = {
    "minimum_tokens": "0.01",
    "table": {"yolov5s": {"640": "1", "1280": "2.5"}, "x": {"1920": "3"}, "*": {"640": "0.5"}},
}


@pytest.mark.parametrize(
    ("model", "letter", "img_size", "mtok"),
    [
        ("yolov5s", "s", 640, 1000),
        ("yolov5s", "s", 641, 2500),
        ("yolov5s", "s", 2560, 10000),  # beyond the table: by area
        ("yolov10x", "x", 1088, 3000),
        ("yolo26n", "n", 320, 500),
    ],
)
def test_the_table(model: str, letter: str, img_size: int, mtok: int) -> None:
    prices = Prices.from_parameters(3, "table", TABLE)
    assert price_mtok(prices, letter=letter, img_size=img_size, model=model) == mtok


@pytest.mark.parametrize("letter", ["", "q", "N"])
def test_an_unknown_letter_has_no_price(letter: str) -> None:
    with pytest.raises(NoPriceError):
        price_mtok(DEFAULT, letter=letter, img_size=640)


@pytest.mark.parametrize(
    ("scheme", "parameters"),
    [
        ("formula", {}),
        ("formula", {**DEFAULT_PARAMETERS, "alpha": 1.0}),
        ("formula", {**DEFAULT_PARAMETERS, "alpha": "NaN"}),
        ("formula", {**DEFAULT_PARAMETERS, "alpha": "-1"}),
        ("formula", {**DEFAULT_PARAMETERS, "betas": {"n": "0"}}),
        ("formula", {**DEFAULT_PARAMETERS, "betas": []}),
        ("flat", {"minimum_tokens": "0.01"}),
        ("flat", {"tokens": "Infinity", "minimum_tokens": "0.01"}),
        ("table", {"table": {"*": {}}, "minimum_tokens": "0.01"}),
        ("table", {"table": {"*": {"wide": "1"}}, "minimum_tokens": "0.01"}),
        ("haggling", DEFAULT_PARAMETERS),
    ],
)
def test_wrong_parameters_are_refused(scheme: str, parameters: dict) -> None:
    with pytest.raises(InvalidPricesError):
        Prices.from_parameters(9, scheme, parameters)
