import pytest

from portal.templatetags.tokensight import milliseconds, token_number, tokens


@pytest.mark.parametrize(
    ("mtok", "style", "expected"),
    [
        (0, "", "0"),
        (1, "", "0.001"),
        (12_340, "", "12.34"),
        (5_000, "", "5"),
        (10_000_000, "", "10,000"),
        (-5_625, "", "−5.625"),
        (5_000, "exact", "5.000"),
        (1_234_567, "exact", "1,234.567"),
        (999_999, "short", "999.999"),
        (1_999_999, "short", "1,999"),
        (-1_999_999, "short", "−2,000"),
        (5_000, "signed", "+5.000"),
        (-700, "signed", "−0.700"),
        (None, "", "–"),
    ],
)
def test_amounts_are_shown_to_the_thousandth_and_never_too_high(mtok: int | None, style: str, expected: str) -> None:
    assert token_number(mtok, style) == expected


def test_tokens_carry_their_unit() -> None:
    assert tokens(700) == '<span class="token-amount">0.7<abbr class="token-unit" title="Tokens">Tok</abbr></span>'


@pytest.mark.parametrize(
    ("duration", "expected"), [(0.0, "0 ms"), (0.44, "0.4 ms"), (44.4, "44 ms"), (1240, "1.24 s"), (None, "–")]
)
def test_durations_keep_the_digits_that_matter(duration: float | None, expected: str) -> None:
    assert milliseconds(duration) == expected
