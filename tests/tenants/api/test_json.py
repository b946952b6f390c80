"""JSON that no number, text or stack could hold is refused, and decimals keep their digits."""

import io
import json
import uuid
from datetime import UTC, datetime
from decimal import Decimal

import pytest
from django.utils.translation import gettext_lazy
from hypothesis import given
from hypothesis import strategies as st

from tenants.api.json import JSONParser, dumps, loads, plain_number
from tenants.api.problems import Problem


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"nul",
        b"NaN",
        b"-Infinity",
        b"1e999",
        b'"\\ud800"',
        b'"\\udc00\\ud800"',
        b"\xff\xfe{}",
        b"\xef\xbb\xbf{}",
        b'"\x00"',
        b'{"a": 1,}',
        b"[" * 100_000,
        b"[" * 5_000 + b"]" * 5_000,
        b'{"a":' * 5_000 + b"1" + b"}" * 5_000,
        b'"\\u0000"',
        b'{"name": "a\\u0000b"}',
        b'{"\\u0000": 1}',
        b'[[[["\\u0000"]]]]',
    ],
)
def test_what_is_refused(body: bytes) -> None:
    with pytest.raises(Problem) as refusal:
        loads(body)
    assert refusal.value.code == "invalid_request"


def test_a_written_backslash_is_no_null_character() -> None:
    assert loads(b'"\\\\u0000"') == "\\u0000"


@given(st.recursive(st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(), lambda inner: (
    st.lists(inner) | st.dictionaries(st.text(), inner)), max_leaves=20))  # fmt: skip
def test_everything_else_is_read_as_it_is(value: object) -> None:
    if "\\u0000" in (text := json.dumps(value)):
        return
    assert loads(text.encode()) == value


@given(st.binary(max_size=200))
def test_no_bytes_raise_anything_but_a_problem(body: bytes) -> None:
    try:
        loads(body)
    except Problem as problem:
        assert problem.status == 400  # noqa: PT017 either way is right


def test_a_body_is_read_to_the_limit_only() -> None:
    class Small(JSONParser):
        max_bytes = 10

    stream = io.BytesIO(b'"' + b"x" * 1000 + b'"')
    with pytest.raises(Problem) as refusal:
        Small().parse(stream)
    assert refusal.value.code == "payload_too_large"
    assert stream.tell() == 11
    assert Small().parse(io.BytesIO(b'"12345678"')) == "12345678"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("5.625", "5.625"),
        ("50.000", "50"),
        ("0.1", "0.1"),
        ("0", "0"),
        ("1E+3", "1000"),
        ("100", "100"),
        ("-0.500", "-0.5"),
    ],
)
def test_decimals_are_plain_numbers(value: str, text: str) -> None:
    assert plain_number(Decimal(value)) == text
    assert dumps({"tokens": Decimal(value)}) == f'{{"tokens":{text}}}'.encode()


@given(st.integers(-(10**18), 10**18))
def test_thousandths_never_show_a_floats_error(mtok: int) -> None:
    tokens = Decimal(mtok) / 1000
    assert Decimal(plain_number(tokens)) == tokens
    assert json.loads(dumps(tokens), parse_float=Decimal, parse_int=Decimal) == tokens


def test_other_values() -> None:
    moment = datetime(2026, 11, 21, 8, 0, tzinfo=UTC)
    some = uuid.UUID(int=1)
    assert loads(dumps({"at": moment, "id": some, "label": gettext_lazy("Team")})) == {
        "at": "2026-11-21T08:00:00Z",
        "id": str(some),
        "label": "Team",
    }
    with pytest.raises(TypeError):
        dumps({"thing": object()})
