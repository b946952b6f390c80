"""The permission matrix over the API: every act and every role, by a key that was given all that the role may give.

The cells of the pages are in ../test_matrix.py.
"""

from __future__ import annotations

import json
from http import HTTPStatus
from typing import Any

import pytest
from django.db import transaction

from tenants.models import Organization, Role
from tenants.permissions import MANAGEMENT_KEY_SCOPES, ROLES_OF, Permission, permissions_of
from tests.api_client import ApiClient, manager_of
from tests.factories.rows import Rows
from tests.tenants.routes import Route, api_routes, methods_of

pytestmark = pytest.mark.django_db
P = Permission

API_ACTS = [
    pytest.param(route, method, id=f"{method}-{route.pattern}")
    for route in api_routes()
    for method in methods_of(route)
    if hasattr(getattr(route.view.view_class, method), "permission")  # type: ignore[attr-defined]
]


def test_the_api_asks_for_no_permission_that_a_key_cannot_have() -> None:
    # None: what a key may do about itself, whatever its scopes.
    asked = {getattr(param.values[0].view.view_class, param.values[1]).permission for param in API_ACTS}  # type: ignore[attr-defined]
    assert asked - {None} <= set(MANAGEMENT_KEY_SCOPES)
    assert set(Permission) - set(MANAGEMENT_KEY_SCOPES) == {
        P.PLAYGROUND_RUN,
        P.MANAGEMENT_KEYS_MANAGE,
        P.ORGANIZATION_OWN,
    }


@pytest.mark.parametrize(("route", "method"), API_ACTS)
def test_a_row_of_the_api(route: Route, method: str, alpha: Organization, rows: tuple[Rows, Rows]) -> None:
    permission = getattr(route.view.view_class, method).permission  # type: ignore[attr-defined]
    for role in Role:
        scopes = permissions_of(role) & set(MANAGEMENT_KEY_SCOPES)
        point = transaction.savepoint()
        answer = ask(manager_of(alpha, *scopes), method, route.path_to(rows[0], slug=""), route.form)
        content = b"".join(answer)
        refused = answer.status_code == HTTPStatus.FORBIDDEN and json.loads(content).get("scope") == permission
        assert refused == (permission is not None and role not in ROLES_OF[permission]), (
            f"{role}: {answer.status_code} {content[:200]!r}"
        )
        assert answer.status_code < HTTPStatus.INTERNAL_SERVER_ERROR, role
        transaction.savepoint_rollback(point)


def ask(api: ApiClient, method: str, path: str, form: dict[str, Any]) -> Any:
    """Send a request; where nothing valid is known to send, an empty body: who may, is told what is wrong with it."""
    if method == "get":
        return api.get(path)
    return api.raw(method.upper(), path, json.dumps(form).encode(), "application/json")
