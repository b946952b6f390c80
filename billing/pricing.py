"""What one image costs: pure arithmetic on exact numbers, in thousandths of a Token (mtok).

formula        alpha * (img_size^2 / 640^2) * beta(letter), the inference size squared
flat           the same for every image
per_megapixel  a price for each million pixels of the image that was sent
table          a weight by model (or letter, or `*`) and the smallest listed inference size that is large enough
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from enum import StrEnum
from fractions import Fraction
from typing import Any

Table = Mapping[str, tuple[tuple[int, Fraction], ...]]

MTOK_PER_TOKEN = 1000
REFERENCE_PIXELS = 640 * 640
PIXELS_PER_MEGAPIXEL = 1_000_000
ANY_MODEL = "*"
LARGEST_PRICE = Decimal(1_000_000)


class PriceScheme(StrEnum):
    FORMULA = "formula"
    FLAT = "flat"
    PER_MEGAPIXEL = "per_megapixel"
    TABLE = "table"


DEFAULT_PARAMETERS = {
    "alpha": "1.0",
    "betas": {"n": "0.7", "s": "1.0", "m": "1.8", "l": "2.5", "x": "4.0"},
    "minimum_tokens": "0.01",
}


class InvalidPricesError(ValueError):
    """The parameters of a price book are not complete, or not positive decimals."""


class NoPriceError(LookupError):
    """The price book has no price for this model."""


@dataclass(frozen=True)
class Prices:
    """One version of the price book, ready to calculate with."""

    version: int
    scheme: PriceScheme
    minimum_mtok: int
    alpha: Fraction = Fraction(0)
    betas: Mapping[str, Fraction] = field(default_factory=dict)
    tokens: Fraction = Fraction(0)
    table: Table = field(default_factory=dict)

    @classmethod
    def from_parameters(cls, version: int, scheme: str, parameters: Mapping[str, Any]) -> Prices:
        """Read a price book's parameters, whose numbers are decimals written as text; raise `InvalidPricesError`."""
        try:
            minimum_mtok = max(_round_to_mtok(_positive(parameters["minimum_tokens"])), 1)
            match PriceScheme(scheme):
                case PriceScheme.FORMULA as known:
                    betas = {letter: _positive(beta) for letter, beta in parameters["betas"].items()}
                    return cls(version, known, minimum_mtok, alpha=_positive(parameters["alpha"]), betas=betas)
                case PriceScheme.TABLE as known:
                    table = {model: _table_row(row) for model, row in parameters["table"].items()}
                    return cls(version, known, minimum_mtok, table=table)
                case known:
                    return cls(version, known, minimum_mtok, tokens=_positive(parameters["tokens"]))
        except (KeyError, ValueError, TypeError, AttributeError) as error:
            raise InvalidPricesError(f"These are no parameters for the scheme {scheme}: {error}") from error


def price_mtok(
    prices: Prices,
    *,
    letter: str,
    img_size: int,
    model: str = "",
    width: int | None = None,
    height: int | None = None,
) -> int:
    """Return the price of one image in mtok, rounded half up to the thousandth, never below the minimum.

    `img_size` is the inference size (px); `width` and `height` (px) are those of the image that was sent, which only
    `per_megapixel` needs. Raises `NoPriceError` for a model that the book does not know.
    """
    match prices.scheme:
        case PriceScheme.FORMULA:
            if letter not in prices.betas:
                raise NoPriceError(f"The price book has no beta for the size letter {letter!r}.")
            tokens = prices.alpha * Fraction(img_size * img_size, REFERENCE_PIXELS) * prices.betas[letter]
        case PriceScheme.FLAT:
            tokens = prices.tokens
        case PriceScheme.PER_MEGAPIXEL:
            if width is None or height is None:
                raise NoPriceError("A price per megapixel needs the width and height of the image.")
            tokens = prices.tokens * Fraction(width * height, PIXELS_PER_MEGAPIXEL)
        case PriceScheme.TABLE:
            tokens = _table_price(prices.table, (model, letter, ANY_MODEL), img_size)
    return max(_round_to_mtok(tokens), prices.minimum_mtok)


def _table_price(
    table: Mapping[str, tuple[tuple[int, Fraction], ...]], names: tuple[str, ...], img_size: int
) -> Fraction:
    row = next((table[name] for name in names if name in table), None)
    if row is None:
        raise NoPriceError(f"The price book has no row for {names[0]}.")
    for size, tokens in row:
        if img_size <= size:
            return tokens
    size, tokens = row[-1]
    return tokens * Fraction(img_size * img_size, size * size)


def _table_row(row: Mapping[str, str]) -> tuple[tuple[int, Fraction], ...]:
    sizes = tuple(sorted((int(size), _positive(tokens)) for size, tokens in row.items()))
    if not sizes or sizes[0][0] < 1:
        raise ValueError("a row of the table lists no size")
    return sizes


def _round_to_mtok(tokens: Fraction) -> int:
    return (tokens * MTOK_PER_TOKEN * 2 + 1) // 2


def _positive(text: str) -> Fraction:
    if not isinstance(text, str):
        raise TypeError(f"{text!r} is not a decimal written as text")
    try:
        value = Decimal(text)
    except InvalidOperation:
        raise ValueError(f"{text!r} is not a decimal") from None
    if not (value.is_finite() and 0 < value <= LARGEST_PRICE):
        raise ValueError(f"{text!r} is not between 0 and {LARGEST_PRICE}")
    return Fraction(value)
