"""What a part of a payment is worth, in money and in Tokens: integers alone, and never more than was paid.

Both ways are cumulative. After so many of a payment's Tokens went back, so much of its money has gone back, rounded
down; a refund pays the difference to what was paid back before. So no sequence of parts pays out more than the whole,
and the last part pays all that is left.
"""

from __future__ import annotations


def money_of(*, total_minor: int, whole_mtok: int, gone_mtok: int) -> int:
    """Return how much of `total_minor` has gone back once `gone_mtok` of the `whole_mtok` have. Rounded down."""
    return total_minor * gone_mtok // whole_mtok if whole_mtok else 0


def tokens_of(*, total_minor: int, whole_mtok: int, gone_minor: int) -> int:
    """Return how many of `whole_mtok` go back once `gone_minor` of the `total_minor` have. Rounded down."""
    return whole_mtok * gone_minor // total_minor if total_minor else 0
