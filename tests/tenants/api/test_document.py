"""The OpenAPI document describes every route under /v1/, both credentials and the form of errors."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver

HIDDEN = {"/v1/openapi.json"}


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    response = Client().get("/v1/openapi.json")
    assert (response.status_code, response["Content-Type"]) == (200, "application/json")
    return json.loads(response.content)


def routes(patterns: list[URLPattern | URLResolver], before: str = "/") -> Iterator[str]:
    for pattern in patterns:
        path = before + str(pattern.pattern)
        if isinstance(pattern, URLResolver):
            yield from routes(pattern.url_patterns, path)
        elif path.startswith("/v1/"):
            yield path


def operations(document: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield f"{method} {path}", operation


def test_every_route_is_in_it(document: dict[str, Any]) -> None:
    known = {path.replace("<uuid:", "{").replace(">", "}") for path in routes(get_resolver().url_patterns)}
    assert set(document["paths"]) == known - HIDDEN
    assert len(known) > 10


def test_it_is_openapi_3_1(document: dict[str, Any]) -> None:
    assert document["openapi"].startswith("3.1")
    assert document["info"]["title"] == "Tokensight"


def test_every_operation_says_what_it_does_and_how_it_fails(document: dict[str, Any]) -> None:
    schemes = set(document["components"]["securitySchemes"])
    assert schemes == {"subToken", "managementKey"}
    ids = [operation["operationId"] for _, operation in operations(document)]
    assert len(set(ids)) == len(ids)
    for name, operation in operations(document):
        assert operation["summary"], name
        assert operation["description"], name
        assert {scheme for choice in operation["security"] for scheme in choice} <= schemes, name
        refusals = {status: answer for status, answer in operation["responses"].items() if int(status) >= 400}
        assert "401" in refusals, name
        for answer in refusals.values():
            assert list(answer["content"]) == ["application/problem+json"], name


def test_bodies_are_closed_and_tokens_are_numbers(document: dict[str, Any]) -> None:
    schemas = document["components"]["schemas"]
    assert schemas["SubTokenRequest"]["additionalProperties"] is False
    assert schemas["SubTokenRequest"]["required"] == ["name"]
    assert schemas["SubTokenAnswer"]["properties"]["remaining_tokens"]["type"] == "number"
    assert "secret" not in schemas["SubTokenAnswer"]["properties"]
    assert "secret" in schemas["NewSubTokenAnswer"]["properties"]


def test_every_reference_leads_somewhere(document: dict[str, Any]) -> None:
    text = json.dumps(document)
    for name in {part.split('"')[0] for part in text.split("#/components/schemas/")[1:]}:
        assert name in document["components"]["schemas"]
