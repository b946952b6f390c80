"""JSON in and out, strict and fast (orjson)."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import orjson
from django.utils.functional import Promise
from rest_framework.parsers import BaseParser
from rest_framework.renderers import BaseRenderer

from tenants.api.problems import Problem

MAX_BYTES = 1 << 20
NULL_IN_SOURCE = b"\\u0000"


class JSONParser(BaseParser):
    """Reads a JSON body of at most `max_bytes`.

    Refuses what PostgreSQL could not store or no number type could hold: NaN, infinities, lone surrogates, null
    characters, deep nesting.
    """

    media_type = "application/json"
    max_bytes = MAX_BYTES

    def parse(self, stream: Any, media_type: str | None = None, parser_context: Mapping[str, Any] | None = None) -> Any:
        """Return the value that the body stands for; `invalid_request` or `payload_too_large` when it cannot."""
        return loads(read_limited(stream, self.max_bytes))


class JSONRenderer(BaseRenderer):
    """Writes JSON; a `Decimal` becomes the number with exactly its digits, never a float's approximation."""

    media_type = "application/json"
    format = "json"
    charset = None
    render_style = "binary"

    def render(
        self,
        data: Any,
        accepted_media_type: str | None = None,
        renderer_context: Mapping[str, Any] | None = None,
    ) -> bytes:
        """Return the JSON for `data`, or nothing for an answer without a body."""
        return b"" if data is None else dumps(data)


def dumps(data: Any) -> bytes:
    """Return JSON for `data`, which may hold decimals, lazy translations, times (UTC, RFC 3339) and UUIDs."""
    return orjson.dumps(data, default=_encode, option=orjson.OPT_UTC_Z | orjson.OPT_NON_STR_KEYS)


def loads(body: bytes) -> Any:
    """Return the value of a JSON text, or raise `invalid_request`."""
    try:
        data = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise Problem("invalid_request", f"The body is not valid JSON: {error.msg}.") from None
    if NULL_IN_SOURCE in body and _holds_null_character(data):
        raise Problem("invalid_request", "The body holds a null character (\\u0000), which no text may hold.")
    return data


def read_limited(stream: Any, max_bytes: int) -> bytes:
    """Read a request's body, but never more than `max_bytes`; a longer one raises `payload_too_large`."""
    body = stream.read(max_bytes + 1)
    if len(body) > max_bytes:
        raise Problem("payload_too_large", f"The body is larger than {max_bytes} bytes.", max_bytes=max_bytes)
    return body


def _holds_null_character(data: Any) -> bool:
    pending = [data]
    while pending:
        value = pending.pop()
        if isinstance(value, str) and "\0" in value:
            return True
        if isinstance(value, dict):
            pending += value.keys()
            pending += value.values()
        elif isinstance(value, list):
            pending += value
    return False


def _encode(value: Any) -> Any:
    if isinstance(value, Decimal):
        return orjson.Fragment(plain_number(value))
    if isinstance(value, Promise):
        return str(value)
    raise TypeError(f"{type(value).__name__} has no form in JSON")


def plain_number(value: Decimal) -> str:
    """Return the digits of a finite decimal without exponent and without trailing zeros: `5.625`, `50`, `0.1`."""
    text = format(value, "f")
    return text.rstrip("0").rstrip(".") if "." in text else text
