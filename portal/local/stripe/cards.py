"""Stripe's test cards and what each does (https://docs.stripe.com/testing); no other number is taken."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from portal.local.stripe.errors import StripeError


@dataclass(frozen=True)
class TestCard:
    """One card. `secure`: when 3-D Secure is asked for; `declined`: why every charge is declined."""

    number: str
    title: str
    brand: str = "visa"
    country: str = "US"
    secure: Literal["never", "unless_set_up", "always"] = "never"
    declined: str | None = None
    saved_all_the_same: bool = False
    disputed: bool = False

    @property
    def shown(self) -> str:
        """The number as people read it."""
        return " ".join(self.number[start : start + 4] for start in range(0, 16, 4))


CARDS = {
    card.number: card
    for card in (
        TestCard("4242424242424242", "Is paid at once"),
        TestCard("5555555555554444", "Is paid at once (Mastercard)", brand="mastercard"),
        TestCard("4000000000000002", "Is declined", declined="generic_decline"),
        TestCard("4000000000009995", "Is declined: not enough money", declined="insufficient_funds"),
        TestCard("4000000000000069", "Is declined: expired card", declined="expired_card"),
        TestCard("4000000000000127", "Is declined: wrong security code", declined="incorrect_cvc"),
        TestCard("4000000000000119", "Is declined: processing error", declined="processing_error"),
        TestCard("4000002500003155", "Asks for 3-D Secure, and not again once it is saved", secure="unless_set_up"),
        TestCard("4000002760003184", "Asks for 3-D Secure every time", secure="always"),
        TestCard(
            "4000000000000341",
            "Can be saved, but every charge is declined",
            declined="generic_decline",
            saved_all_the_same=True,
        ),
        TestCard("4000000000000259", "Is paid, then disputed as fraudulent", disputed=True),
    )
}

_MESSAGES = {
    "insufficient_funds": "Your card has insufficient funds.",
    "expired_card": "Your card has expired.",
    "incorrect_cvc": "Your card's security code is incorrect.",
    "processing_error": "An error occurred while processing your card. Try again in a little bit.",
}
# Declines whose code is the reason itself; every other one is `card_declined` with the reason as its decline_code.
_OWN_CODES = ("expired_card", "incorrect_cvc", "processing_error")


def decline(reason: str) -> dict[str, str]:
    """Return code, decline_code and message of a decline."""
    declined = {"code": reason if reason in _OWN_CODES else "card_declined"}
    if reason not in ("expired_card", "processing_error"):
        declined["decline_code"] = reason
    declined["message"] = _MESSAGES.get(reason, "Your card was declined.")
    return declined


def card_of(number: str) -> TestCard:
    """Return a test card by its number, spaces allowed. Raises StripeError for every other number."""
    digits = "".join(number.split())
    if digits in CARDS:
        return CARDS[digits]
    if digits.isdecimal() and 12 <= len(digits) <= 19 and _checksum(digits):
        message = "Your card was declined. Your request was in test mode, but used a non test card."
        raise StripeError(402, "card_error", message, "card_declined", decline_code="test_mode_live_card")
    raise StripeError(402, "card_error", "Your card number is incorrect.", "incorrect_number", param="number")


def _checksum(digits: str) -> bool:
    total = 0
    for place, digit in enumerate(reversed(digits)):
        doubled = int(digit) * (1 + place % 2)
        total += doubled - 9 * (doubled > 9)
    return total % 10 == 0
