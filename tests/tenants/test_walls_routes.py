"""Every route, as an outsider: it answers as if the organization did not exist, and nothing of it changes.

A new route is found by itself. It is a page behind `console_page`, a part of the API, or listed in routes.py.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.db import connection, transaction
from django.http import HttpResponseBase
from django.test import Client

from billing.models import SubToken
from tenants.models import ManagementKey, Organization, Role, Team, User
from tenants.permissions import MANAGEMENT_KEY_SCOPES, Permission, allows
from tenants.scope import organization_scope, platform_scope
from tenants.secrets import SecretKind, hash_secret, new_secret, shown_prefix
from tests.factories.rows import Rows, tenant_models
from tests.factories.tenants import make_membership
from tests.tenants.routes import (
    CONSOLE,
    OBJECTS,
    OPEN,
    OPEN_PREFIXES,
    PERSONAL,
    STAFF,
    Route,
    api_routes,
    console_routes,
    methods_of,
    routes,
)

pytestmark = pytest.mark.django_db

CONSOLE_ROUTES = [
    pytest.param(route, id=route.pattern.removeprefix(CONSOLE) or "overview") for route in console_routes()
]
API_ROUTES = [
    pytest.param(route, method, id=f"{method}-{route.pattern}")
    for route in api_routes()
    for method in methods_of(route)
]


@pytest.fixture
def rows(alpha: Organization, beta: Organization) -> Iterator[tuple[Rows, Rows]]:
    """A row of each table for Alpha, and for Beta what routes ask for. Undone before deferred constraints look."""
    with transaction.atomic():
        both = Rows(alpha), Rows(beta)
        with platform_scope("test data"):
            for model in tenant_models():
                both[0][model]
            for model in OBJECTS.values():
                both[1][model]
        yield both
        transaction.set_rollback(True)


def fingerprint(organization: Organization) -> dict[str, str]:
    """Return a hash of everything that an organization has, by table."""
    tables = [model._meta.db_table for model in tenant_models()]
    parts = [
        f"SELECT '{table}', md5(string_agg(t::text, ',' ORDER BY id)) FROM {table} t WHERE org_id = %(id)s"
        for table in tables
    ]
    parts.append("SELECT 'tenants_organization', md5(t::text) FROM tenants_organization t WHERE id = %(id)s")
    with platform_scope("look"), connection.cursor() as cursor:
        cursor.execute(" UNION ALL ".join(parts), {"id": organization.id})
        found = dict(cursor.fetchall())
    assert all(found.values()), "there is something of each table to change"
    return found


def answer(response: HttpResponseBase, *words: object) -> tuple[int, str]:
    """Return status and text, with the words that the asker sent and what differs by chance taken out."""
    text = b"".join(response).decode()  # type: ignore[arg-type]
    text = re.sub(r'"X-CSRFToken": "\w+"|name="csrfmiddlewaretoken" value="\w+"|nonce="[^"]+"', "", text)
    text = re.sub(r'"request_id":\s?"[^"]+"', "", text)
    for word in words:
        text = text.replace(str(word), "…")
    return response.status_code, text


def test_every_route_is_known() -> None:
    unknown = [
        route.pattern
        for route in routes()
        if route.pattern not in OPEN
        and route.pattern not in PERSONAL
        and not route.pattern.startswith((CONSOLE, "v1/", STAFF, *OPEN_PREFIXES))
    ]
    assert unknown == [], "put it behind console_page, or say in tests/tenants/routes.py why it needs no wall"
    patterns = {route.pattern for route in routes()}
    assert set(OPEN) | PERSONAL <= patterns


def test_every_page_of_an_organization_asks_for_a_permission() -> None:
    unguarded = [route.pattern for route in console_routes() if not hasattr(route.view, "console_permission")]
    assert unguarded == [], "put @console_page(...) first"


def test_every_argument_is_known() -> None:
    used = {name for route in (*console_routes(), *api_routes()) for name in route.objects()}
    assert used <= set(OBJECTS), "say in tests/tenants/routes.py which row it stands for"


@pytest.mark.parametrize("route", CONSOLE_ROUTES)
def test_a_page_is_not_there_for_an_outsider(
    route: Route, rows: tuple[Rows, Rows], alpha: Organization, charlie: User, client: Client
) -> None:
    ours, _ = rows
    before = fingerprint(alpha)
    client.force_login(charlie)
    for method in ("get", "post"):
        real = getattr(client, method)(route.path_to(ours, slug="alpha"), route.form)
        unreal = getattr(client, method)(route.path_to(ours, slug="nowhere"), route.form)
        assert real.status_code == HTTPStatus.NOT_FOUND
        assert answer(real, "alpha") == answer(unreal, "nowhere")
    assert fingerprint(alpha) == before


@pytest.mark.parametrize("route", CONSOLE_ROUTES)
def test_a_page_sends_strangers_to_sign_in(route: Route, rows: tuple[Rows, Rows], alpha: Organization) -> None:
    ours, _ = rows
    before = fingerprint(alpha)
    for slug in ("alpha", "nowhere"):
        path = route.path_to(ours, slug=slug)
        for response in (Client().get(path), Client().post(path)):
            assert response.status_code == HTTPStatus.FOUND
            assert response["Location"] == f"/accounts/login/?next={path}"
    assert fingerprint(alpha) == before


@pytest.mark.parametrize("route", [route for route in CONSOLE_ROUTES if route.values[0].objects()])
def test_a_row_is_not_there_under_another_organization(
    route: Route, rows: tuple[Rows, Rows], alpha: Organization, charlie: User, client: Client
) -> None:
    ours, theirs = rows
    before = fingerprint(alpha)
    client.force_login(charlie)
    for name in route.objects():
        ids: dict[str, UUID] = {other: theirs[OBJECTS[other]].pk for other in route.objects()}
        real, unreal = ours[OBJECTS[name]].pk, uuid4()
        for method in ("get", "post"):
            answers = [
                answer(getattr(client, method)(route.path(slug="beta", **ids | {name: value}), route.form), value)
                for value in (real, unreal)
            ]
            assert answers[0] == answers[1]
            assert answers[0][0] in {HTTPStatus.NOT_FOUND, HTTPStatus.METHOD_NOT_ALLOWED}
    assert fingerprint(alpha) == before


@pytest.mark.parametrize("route", CONSOLE_ROUTES)
def test_a_page_is_for_the_roles_that_the_table_names(
    route: Route, rows: tuple[Rows, Rows], alpha: Organization, client: Client
) -> None:
    permission: Permission = route.view.console_permission  # type: ignore[attr-defined]
    path = route.path_to(rows[0], slug="alpha")
    for role in Role:
        client.force_login(make_membership(alpha, role=role).user)
        status = client.get(path).status_code
        if allows(role, permission):
            assert status in {HTTPStatus.OK, HTTPStatus.METHOD_NOT_ALLOWED}, role
        else:
            assert status == HTTPStatus.FORBIDDEN, role
            assert client.post(path).status_code == HTTPStatus.FORBIDDEN, role


@pytest.mark.parametrize("path", sorted(PERSONAL))
def test_a_person_s_pages_ask_to_sign_in(path: str) -> None:
    for response in (Client().get(f"/{path}"), Client().post(f"/{path}")):
        assert response.status_code == HTTPStatus.FOUND
        assert response["Location"] == f"/accounts/login/?next=/{path}"


@pytest.fixture
def credentials(rows: tuple[Rows, Rows], beta: Organization) -> list[str]:
    """Secrets of Beta: a sub-token's, and a management key's that may do everything."""
    token, key = new_secret(SecretKind.SUB_TOKEN), new_secret(SecretKind.MANAGEMENT_KEY)
    with organization_scope(beta.id):
        SubToken.objects.update(
            secret_hash=hash_secret(token), prefix=shown_prefix(token), expires_at=datetime.now(UTC) + timedelta(days=1)
        )
        ManagementKey.objects.update(
            secret_hash=hash_secret(key),
            prefix=shown_prefix(key),
            scopes=[scope.value for scope in MANAGEMENT_KEY_SCOPES],
        )
    return [token, key]


def call(method: str, path: str, secret: str = "", body: dict[str, Any] | None = None) -> HttpResponseBase:
    """Ask the API as a client would."""
    sent = {} if method == "get" else {"data": body or {}, "content_type": "application/json"}
    headers = {"Authorization": f"Bearer {secret}"} if secret else {}
    return getattr(Client(), method)(path, headers=headers, **sent)


@pytest.mark.parametrize(("route", "method"), API_ROUTES)
def test_the_api_answers_nobody_without_a_credential(
    route: Route, method: str, rows: tuple[Rows, Rows], alpha: Organization
) -> None:
    before = fingerprint(alpha)
    wrong = new_secret(SecretKind.SUB_TOKEN)
    for secret in ("", wrong, new_secret(SecretKind.MANAGEMENT_KEY), "nonsense"):
        response = call(method, route.path_to(rows[0], slug=""), secret)
        # A secret of the other kind is told so by its form, before anybody looks whether it is known.
        other_kind = {HTTPStatus.FORBIDDEN} if secret.startswith("ts") else set()
        assert response.status_code in {HTTPStatus.UNAUTHORIZED} | other_kind
        assert response["Content-Type"] == "application/problem+json"
    assert fingerprint(alpha) == before


@pytest.mark.parametrize(("route", "method"), API_ROUTES)
def test_the_api_shows_and_does_nothing_across_the_wall(
    route: Route, method: str, rows: tuple[Rows, Rows], alpha: Organization, credentials: list[str]
) -> None:
    ours, theirs = rows
    before = fingerprint(alpha)
    secrets_of_alpha = [str(ours[model].pk) for model in tenant_models()] + [str(alpha.id), alpha.slug]
    for secret in credentials:
        if not route.objects():
            text = answer(call(method, route.path(), secret))[1]
            assert not [word for word in secrets_of_alpha if word in text]
        for name in route.objects():
            ids = {other: theirs[OBJECTS[other]].pk for other in route.objects()}
            real, unreal = ours[OBJECTS[name]].pk, uuid4()
            answers = [
                answer(call(method, route.path(**ids | {name: value}), secret, route.form), value)
                for value in (real, unreal)
            ]
            assert answers[0] == answers[1]
            assert answers[0][0] in {HTTPStatus.NOT_FOUND, HTTPStatus.FORBIDDEN}
    assert fingerprint(alpha) == before


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("post", "/v1/sub_tokens", {"name": "Line 9", "tokens": 1, "team": "{team}"}),
        ("get", "/v1/sub_tokens?team={team}", {}),
        ("get", "/v1/jobs?sub_token={sub_token}", {}),
    ],
)
def test_what_is_pointed_to_in_a_request_is_not_there_either(
    method: str, path: str, body: dict[str, Any], rows: tuple[Rows, Rows], alpha: Organization, credentials: list[str]
) -> None:
    before = fingerprint(alpha)
    real = {"team": rows[0][Team].pk, "sub_token": rows[0][SubToken].pk}
    unreal = {name: uuid4() for name in real}
    for secret in credentials:
        answers = []
        for ids in (real, unreal):
            sent = {name: value.format(**ids) if isinstance(value, str) else value for name, value in body.items()}
            answers.append(answer(call(method, path.format(**ids), secret, sent), *ids.values()))
        assert answers[0] == answers[1]
    assert fingerprint(alpha) == before
