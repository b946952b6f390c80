"""How an amount of money is written: integers of the minor unit inside, the currency's unit outside."""

from __future__ import annotations

from decimal import Decimal

MINOR = 100  # fen in a yuan, cents in a dollar: the same in every currency that is sold in


def money_text(minor: int, currency: str) -> str:
    """Return an amount in the currency's unit, with its two decimals and its name: `1,200.50 CNY`."""
    sign = "−" if minor < 0 else ""
    whole, part = divmod(abs(minor), MINOR)
    return f"{sign}{whole:,}.{part:02d} {currency}"


def money_plain(minor: int) -> str:
    """Return an amount as programs read it: no grouping, a point, two decimals."""
    whole, part = divmod(abs(minor), MINOR)
    return f"{'-' if minor < 0 else ''}{whole}.{part:02d}"


def minor_of(text: str) -> int:
    """Return an amount that a person wrote in the currency's unit. Raises ValueError where it is none, or finer."""
    try:
        minor = Decimal(text) * MINOR
    except ArithmeticError:
        raise ValueError("This is no amount of money.") from None
    if not minor.is_finite() or minor < 0 or minor != int(minor):
        raise ValueError("An amount of money is not negative and has at most 2 decimals.")
    return int(minor)
