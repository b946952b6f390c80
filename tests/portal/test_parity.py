"""Everything in the console is in the API and the reverse, but for what tests/portal/parity.py gives a reason for."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from django.urls import URLPattern, URLResolver, get_resolver
from drf_spectacular.generators import SchemaGenerator

from tests.portal.parity import API_ONLY, BOTH, PAGES_ONLY
from tests.tenants.routes import CONSOLE


@pytest.fixture(scope="module")
def pages() -> set[str]:
    """The names of all pages of an organization."""

    def walk(resolver: URLResolver, prefix: str) -> Iterator[str]:
        for entry in resolver.url_patterns:
            pattern = prefix + str(entry.pattern)
            if isinstance(entry, URLResolver):
                yield from walk(entry, pattern)
            elif isinstance(entry, URLPattern) and pattern.startswith(CONSOLE):
                yield entry.name or pattern

    return set(walk(get_resolver(), ""))


@pytest.fixture(scope="module")
def operations() -> set[str]:
    """The operations of the API, as its description names them."""
    document = SchemaGenerator().get_schema(request=None, public=True)
    return {operation["operationId"] for methods in document["paths"].values() for operation in methods.values()}


def test_every_operation_has_a_page_or_a_reason(operations: set[str], pages: set[str]) -> None:
    alone = {name for name in operations if not pages & set(BOTH.get(name, ()))}
    assert alone == API_ONLY.keys(), "make its page and name it in tests/portal/parity.py, or say why there is none"


def test_every_page_has_an_operation_or_a_reason(operations: set[str], pages: set[str]) -> None:
    shown = {page for name in operations for page in BOTH.get(name, ())}
    assert pages - shown == PAGES_ONLY.keys(), "make its operation and name it there, or say why there is none"


def test_every_exception_has_a_reason() -> None:
    assert all(len(reason.split()) > 1 for reason in (*API_ONLY.values(), *PAGES_ONLY.values()))
