"""A list as CSV holds text, whatever its rows are named."""

from __future__ import annotations

import csv
import io
from typing import Any

import pytest

from tenants.views.downloads import csv_response


class Named:
    def __str__(self) -> str:
        return "=1+1"


def cell(value: Any) -> str:
    body = b"".join(csv_response("list.csv", [[value]])).decode()
    ((read,),) = csv.reader(io.StringIO(body, newline=""))
    return read


@pytest.mark.parametrize(
    "text", ["=1+1", "+1+1", "-1+1", "@SUM(A1)", " =1+1", "\t=1+1", "\r=1+1", "\n=1+1", "-2+3+cmd|' /C calc'!A0"]
)
def test_a_text_that_begins_like_a_formula_stays_text(text: str) -> None:
    assert cell(text) == f"'{text}"


def test_so_does_what_only_becomes_text_in_the_cell() -> None:
    assert cell(Named()) == "'=1+1"


@pytest.mark.parametrize("value", ["-5.000", "Line 1", 12, -3, 0.7, "a=b"])
def test_numbers_and_names_are_left_alone(value: Any) -> None:
    assert cell(value) == str(value)


def test_nothing_is_an_empty_cell() -> None:
    assert b"".join(csv_response("list.csv", [["a", None, ""]])) == b"a,,\r\n"
