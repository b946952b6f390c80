"""The mails about money that came late: a boost has no Tokens to tell of."""

from __future__ import annotations

import pytest
from django.template.loader import render_to_string
from django.utils import translation

FACTS = {
    "organization": "Alpha",
    "money": "9.00 CNY",
    "button_url": "http://localhost/",
    "base_url": "http://localhost",
}


@pytest.mark.parametrize("language", ["en", "zh-hans"])
@pytest.mark.parametrize("name", ["payment_paid", "payment_failed"])
@pytest.mark.parametrize("part", ["txt", "html"])
def test_a_boost_is_called_by_its_name(language: str, name: str, part: str) -> None:
    with translation.override(language):
        boost = render_to_string(f"mail/{name}.{part}", {**FACTS, "tokens": "0", "boost": "Double for a day"})
        tokens = render_to_string(f"mail/{name}.{part}", {**FACTS, "tokens": "1,000", "boost": ""})
    assert "Double for a day" in boost
    assert "0 Token" not in boost
    assert "1,000" in tokens


def test_the_subject_too() -> None:
    assert render_to_string("mail/payment_paid.subject.txt", {**FACTS, "tokens": "0", "boost": "Double"}).strip() == (
        "Paid: the boost Double for Alpha"
    )
