"""Every route, as an outsider: it answers as if the organization did not exist, and nothing of it changes.

A new route is found by itself. It is a page behind `console_page`, a part of the API, or listed in routes.py.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from uuid import UUID

import pytest
from django.test import Client

from tenants.models import ManagementKey, Organization, Role, User
from tenants.permissions import MANAGEMENT_KEY_SCOPES, Permission, allows
from tenants.scope import organization_scope
from tenants.secrets import SecretKind, hash_secret, new_secret
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
from tests.tenants.walls.asking import answer, call, compared, fingerprint

pytestmark = pytest.mark.django_db

CONSOLE_ROUTES = [
    pytest.param(route, id=route.pattern.removeprefix(CONSOLE) or "overview") for route in console_routes()
]
API_ROUTES = [
    pytest.param(route, method, id=f"{method}-{route.pattern}")
    for route in api_routes()
    for method in methods_of(route)
]


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
        for ask in (client.get, client.post):
            real, unreal = compared(
                ours[OBJECTS[name]].pk,
                lambda value, ask=ask, ids=ids, name=name: ask(
                    route.path(slug="beta", **ids | {name: value}), route.form
                ),
            )
            assert real == unreal
            assert real[0] in {HTTPStatus.NOT_FOUND, HTTPStatus.METHOD_NOT_ALLOWED}
    assert fingerprint(alpha) == before


@pytest.mark.parametrize("route", CONSOLE_ROUTES)
def test_a_page_is_for_the_roles_that_the_table_names(
    route: Route, rows: tuple[Rows, Rows], alpha: Organization, client: Client
) -> None:
    permission: Permission = route.view.console_permission  # type: ignore[attr-defined]
    path = route.path_to(rows[0], slug="alpha")
    for role in Role:
        client.force_login(make_membership(alpha, role=role).user)
        response = client.get(path)
        status = response.status_code
        if allows(role, permission):
            # Asked for the password once more, or led to a page of the same organization where this one says nothing.
            led = status == HTTPStatus.FOUND and response["Location"].startswith(
                ("/accounts/reauthenticate/", "/o/alpha/")
            )
            assert led or status in {HTTPStatus.OK, HTTPStatus.METHOD_NOT_ALLOWED}, role
        else:
            assert status == HTTPStatus.FORBIDDEN, role
            assert client.post(path).status_code == HTTPStatus.FORBIDDEN, role


@pytest.mark.parametrize("path", sorted(PERSONAL))
def test_a_person_s_pages_ask_to_sign_in(path: str) -> None:
    for response in (Client().get(f"/{path}"), Client().post(f"/{path}")):
        assert response.status_code == HTTPStatus.FOUND
        assert response["Location"] == f"/accounts/login/?next=/{path}"


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
            real, unreal = compared(
                ours[OBJECTS[name]].pk,
                lambda value, ids=ids, name=name, secret=secret: call(
                    method, route.path(**ids | {name: value}), secret, route.form
                ),
            )
            assert real == unreal
            assert real[0] in {HTTPStatus.NOT_FOUND, HTTPStatus.FORBIDDEN}
    assert fingerprint(alpha) == before


def permission_of(route: Route, method: str) -> Permission | None:
    """Return what a key needs for an operation, None for one of sub-tokens, which have no scopes."""
    return getattr(getattr(route.view.view_class, method), "permission", None)  # type: ignore[attr-defined]


@pytest.mark.parametrize(("route", "method"), [case for case in API_ROUTES if permission_of(*case.values)])
def test_a_key_without_the_scope_may_not(
    route: Route, method: str, rows: tuple[Rows, Rows], alpha: Organization
) -> None:
    """A key of the organization itself that has every scope but the one that is needed."""
    needed = permission_of(route, method)
    secret = new_secret(SecretKind.MANAGEMENT_KEY)
    with organization_scope(alpha.id):
        ManagementKey.objects.update(
            secret_hash=hash_secret(secret),
            scopes=[scope.value for scope in MANAGEMENT_KEY_SCOPES if scope != needed],
            last_used_at=datetime.now(UTC) + timedelta(days=1),
        )
    before = fingerprint(alpha)
    response = call(method, route.path_to(rows[0], slug=""), secret, route.form)
    assert response.status_code == HTTPStatus.FORBIDDEN
    assert b'"insufficient_scope"' in response.content  # type: ignore[attr-defined]
    assert fingerprint(alpha) == before


@pytest.mark.parametrize("route", CONSOLE_ROUTES)
def test_a_page_shows_nothing_of_another_organization(
    route: Route, rows: tuple[Rows, Rows], alpha: Organization, charlie: User, client: Client
) -> None:
    """Charlie's own pages, exports among them, with nothing of Alpha's in them."""
    ours, theirs = rows
    foreign = [str(ours[model].pk) for model in tenant_models()] + [str(alpha.id), "/o/alpha/", "alpha.example"]
    client.force_login(charlie)
    _, text = answer(client.get(route.path_to(theirs, slug="beta")))
    assert not [word for word in foreign if word in text]
