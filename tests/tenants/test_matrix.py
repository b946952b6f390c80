"""The permission matrix, cell by cell: every permission, every role, an act on a page and every act of the API.

Each cell is really asked for. What a role may do on a page is told by a person's membership; what it may do over the
API by a management key that was given all that the role may give.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http import HTTPStatus
from itertools import product
from typing import Any
from uuid import uuid4

import pytest
from django.db import transaction
from django.test import Client

from tenants.models import AuditEvent, ManagementKey, Organization, Role, Team
from tenants.permissions import MANAGEMENT_KEY_SCOPES, ROLES_OF, Permission, permissions_of
from tenants.scope import organization_scope, platform_scope
from tests.api_client import ApiClient, manager_of
from tests.factories.billing import make_wallet
from tests.factories.rows import Rows, tenant_models
from tests.factories.tenants import make_membership
from tests.tenants.confirming import confirmed
from tests.tenants.routes import Route, api_routes, console_routes, methods_of

pytestmark = pytest.mark.django_db
P = Permission


@dataclass(frozen=True)
class Act:
    """A request to a page, and whether the organization shows that it was done (None for looking).

    `missing`: it is about a row that is not there, so who may is told just that.
    """

    path: str
    form: dict[str, Any] | None = None
    done: Callable[[], bool] | None = field(default=None, compare=False)
    missing: bool = False


def audited(action: str) -> Callable[[], bool]:
    return lambda: AuditEvent.objects.filter(action=action).exists()


PAGE_ACTS: dict[Permission, Act | None] = {
    P.ORGANIZATION_VIEW: Act("teams/"),
    P.ORGANIZATION_MANAGE: Act(
        "settings/", {"name": "Alpha Works", "when_uncounted": "pass"}, audited("organization.renamed")
    ),
    P.ORGANIZATION_OWN: Act("closing/request/", {"confirm_name": "Alpha"}, audited("organization.deletion_requested")),
    P.MEMBERS_VIEW: Act("members/"),
    P.MEMBERS_MANAGE: Act(
        "members/invite/", {"email": "x@y.example", "role": "viewer", "days": "7"}, audited("invitation.sent")
    ),
    P.TEAMS_MANAGE: Act("teams/new/", {"name": "Line 1", "parent": ""}, lambda: Team.objects.exists()),
    P.SUB_TOKENS_VIEW: Act("sub-tokens/"),
    P.SUB_TOKENS_MANAGE: Act("sub-tokens/new/"),
    P.PLAYGROUND_RUN: Act("playground/"),
    P.CALLS_VIEW: Act("calls/"),
    P.LEDGER_VIEW: Act("ledger/"),
    P.GRANTS_VIEW: Act("grants/"),
    P.BILLING_MANAGE: Act(f"splitting/{uuid4()}/give/", {}, missing=True),
    P.LIMITS_VIEW: Act("limits/"),
    P.LIMITS_MANAGE: Act(f"limits/{uuid4()}/", missing=True),
    P.ALERTS_VIEW: Act("alerts/"),
    P.ALERTS_MANAGE: Act("alerts/rules/"),
    P.WEBHOOKS_MANAGE: Act("webhooks/"),
    P.MANAGEMENT_KEYS_MANAGE: Act(
        "management-keys/new/",
        {"name": "CI", "scopes": ["members.view"], "days": "30"},
        lambda: ManagementKey.objects.exists(),
    ),
    P.AUDIT_VIEW: Act("audit/"),
}


def test_every_permission_has_an_act_on_a_page_or_no_page_at_all() -> None:
    assert set(PAGE_ACTS) == set(Permission), "say which request of a page needs it"
    with_pages = {route.view.console_permission for route in console_routes()}  # type: ignore[attr-defined]
    assert {permission for permission, act in PAGE_ACTS.items() if act is not None} == with_pages


CELLS = [(permission, role) for permission, role in product(Permission, Role) if PAGE_ACTS[permission] is not None]


@pytest.mark.parametrize(("permission", "role"), CELLS)
def test_a_cell_of_the_pages(permission: Permission, role: Role, alpha: Organization) -> None:
    act = PAGE_ACTS[permission]
    assert act is not None
    make_wallet(alpha)
    client = confirmed(make_membership(alpha, role=role).user)
    path = f"/o/alpha/{act.path}"
    answer = client.get(path) if act.form is None else client.post(path, act.form)
    may = role in ROLES_OF[permission]
    if may and act.missing:
        assert answer.status_code == HTTPStatus.NOT_FOUND
    elif may:
        assert answer.status_code < HTTPStatus.BAD_REQUEST
        assert not answer.get("Location", "").startswith("/accounts/")
    else:
        assert answer.status_code == HTTPStatus.FORBIDDEN
    if act.done is not None:
        with organization_scope(alpha.id):
            assert act.done() == may


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


@pytest.fixture
def rows(alpha: Organization) -> Iterator[Rows]:
    """A row of each table, undone before deferred constraints look."""
    with transaction.atomic():
        made = Rows(alpha)
        with platform_scope("test data"):
            for model in tenant_models():
                made[model]
        yield made
        transaction.set_rollback(True)


@pytest.mark.parametrize(("route", "method"), API_ACTS)
def test_a_row_of_the_api(route: Route, method: str, alpha: Organization, rows: Rows) -> None:
    permission = getattr(route.view.view_class, method).permission  # type: ignore[attr-defined]
    for role in Role:
        scopes = permissions_of(role) & set(MANAGEMENT_KEY_SCOPES)
        point = transaction.savepoint()
        answer = ask(manager_of(alpha, *scopes), method, route.path_to(rows, slug=""), route.form)
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


def test_nobody_signed_in_may_anything(alpha: Organization) -> None:
    for act in PAGE_ACTS.values():
        if act is not None:
            answer = Client().get(f"/o/alpha/{act.path}")
            assert answer["Location"].startswith("/accounts/login/")
