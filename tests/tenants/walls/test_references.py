"""What a request points to by an id inside it, in its query or its body: another organization's is not there.

The API says itself which of its parameters and members are ids, so a new one is found by itself.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any
from uuid import UUID

import pytest
from django.test import Client
from drf_spectacular.generators import SchemaGenerator

from billing.models import Account, Grant, SubToken, Transfer
from detection.models import Job
from tenants.models import AuditEvent, ManagementKey, Membership, Organization, Team, User
from tests.factories.rows import Rows, tenant_models
from tests.tenants.routes import BODIES, CONSOLE, OBJECTS, Route, console_routes
from tests.tenants.walls.asking import call, compared, fingerprint

pytestmark = pytest.mark.django_db

METHODS = ("get", "post", "put", "patch", "delete")
# By which names pages take an id in their query.
PAGE_PARAMETERS = ("account", "actor", "by_id", "cursor", "from", "grant", "key", "member", "parent", "sub_token",
                   "target", "team", "to", "transfer")  # fmt: skip
POINTED_TO = (Account, AuditEvent, Grant, Job, ManagementKey, Membership, SubToken, Team, Transfer)

# Operations that take any id, and why that shows nothing.
LOOSE = {"post /v1/alert_preferences/{user_id}/mutes": "what is muted is compared with the caller's own alerts only"}

Member = tuple[str, ...]


def id_members(schema: dict[str, Any], components: dict[str, Any], way: Member = ()) -> Iterator[Member]:
    """Yield the ways to every id in a body; a list's elements are `[]`."""
    if "$ref" in schema:
        schema = components[schema["$ref"].rpartition("/")[2]]
    for part in (*schema.get("oneOf", ()), *schema.get("anyOf", ()), *schema.get("allOf", ())):
        yield from id_members(part, components, way)
    if schema.get("format") == "uuid":
        yield way
    for name, member in schema.get("properties", {}).items():
        if len(way) < 6:
            yield from id_members(member, components, (*way, name))
    if "items" in schema:
        yield from id_members(schema["items"], components, (*way, "[]"))


def pointing() -> Iterator[tuple[str, str, str, Any]]:
    """Yield (method, path, "query" or "body", name or way) for every id that an operation takes."""
    document = SchemaGenerator().get_schema(request=None, public=True)
    components = document["components"]["schemas"]
    for path, operations in document["paths"].items():
        for method in METHODS:
            operation = operations.get(method, {})
            for parameter in operation.get("parameters", ()):
                if parameter["in"] == "query" and parameter["schema"].get("format") == "uuid":
                    yield method, path, "query", parameter["name"]
            for content in operation.get("requestBody", {}).get("content", {}).values():
                for way in dict.fromkeys(id_members(content["schema"], components)):
                    yield method, path, "body", way


POINTING = list(pointing())
IN_QUERY = [(method, path, name) for method, path, where, name in POINTING if where == "query"]
IN_BODY = [(method, path, way) for method, path, where, way in POINTING if where == "body"]


def with_id(body: Any, way: Member, value: UUID) -> Any:
    """Return a body with an id at the end of a way."""
    if not way:
        return str(value)
    name, rest = way[0], way[1:]
    if name == "[]":
        return [with_id(body[0] if body else {}, rest, value)]
    return {**(body or {}), name: with_id((body or {}).get(name), rest, value)}


def theirs_in(path: str, rows: Rows) -> str:
    """Return a path of the document with the other organization's own rows in it."""
    path = path.replace("{user_id}", str(rows[Membership].user_id))  # type: ignore[attr-defined]
    for name, model in OBJECTS.items():
        path = path.replace(f"{{{name}}}", str(rows[model].pk))
    assert "{" not in path, f"say in theirs_in which row stands for the argument of {path}"
    return path


def test_every_body_that_points_has_an_example() -> None:
    lacking = [f"{method} {path}" for method, path, _ in IN_BODY if f"{method} {path}" not in BODIES]
    assert lacking == [], "put a valid body without its ids into BODIES of tests/tenants/routes.py"
    assert IN_QUERY, "the document names ids in queries"


@pytest.mark.parametrize(("method", "path", "name"), IN_QUERY)
def test_an_id_in_the_query(
    method: str,
    path: str,
    name: str,
    rows: tuple[Rows, Rows],
    alpha: Organization,
    credentials: list[str],
) -> None:
    ours, theirs = rows
    before = fingerprint(alpha)
    for secret in credentials:
        for model in POINTED_TO:
            real, unreal = compared(
                ours[model].pk,
                lambda value, secret=secret: call(method, f"{theirs_in(path, theirs)}?{name}={value}", secret),
            )
            assert real == unreal, model
    assert fingerprint(alpha) == before


@pytest.mark.parametrize(("method", "path", "way"), IN_BODY)
def test_an_id_in_the_body(
    method: str,
    path: str,
    way: Member,
    rows: tuple[Rows, Rows],
    alpha: Organization,
    credentials: list[str],
) -> None:
    ours, theirs = rows
    before = fingerprint(alpha)
    example = BODIES[f"{method} {path}"]
    for secret in credentials:
        for model in POINTED_TO:
            real, unreal = compared(
                ours[model].pk,
                lambda value, secret=secret: call(
                    method, theirs_in(path, theirs), secret, with_id(copy.deepcopy(example), way, value)
                ),
            )
            if f"{method} {path}" in LOOSE:
                assert real[0] == unreal[0], model
                continue
            assert real == unreal, model
            assert real[0] >= 400, f"{model}: a row that is not there was taken"
    assert fingerprint(alpha) == before


CONSOLE_ROUTES = [
    pytest.param(route, id=route.pattern.removeprefix(CONSOLE) or "overview") for route in console_routes()
]


@pytest.mark.parametrize("route", CONSOLE_ROUTES)
def test_an_id_in_the_query_of_a_page(
    route: Route,
    rows: tuple[Rows, Rows],
    alpha: Organization,
    charlie: User,
    client: Client,
) -> None:
    ours, theirs = rows
    before = fingerprint(alpha)
    client.force_login(charlie)
    path = route.path_to(theirs, slug="beta")
    foreign = [str(ours[model].pk) for model in tenant_models()] + [str(alpha.id), "alpha.example"]
    for model in POINTED_TO:
        value = str(ours[model].pk)
        response = client.get(path, dict.fromkeys(PAGE_PARAMETERS, value))
        text = b"".join(response).decode(errors="replace").replace(value, "")
        assert response.status_code < 500
        assert not [word for word in foreign if word in text], model
    assert fingerprint(alpha) == before
