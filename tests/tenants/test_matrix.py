"""The permission matrix on pages, cell by cell: every permission, every role, an act. Each is really asked for.

The rows of the API are in walls/test_matrix.py.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from http import HTTPStatus
from itertools import product
from typing import Any
from uuid import uuid4

import pytest
from django.test import Client

from tenants.models import AuditEvent, ManagementKey, Organization, Role, Team
from tenants.permissions import ROLES_OF, Permission
from tenants.scope import organization_scope
from tests.factories.billing import make_wallet
from tests.factories.tenants import make_membership
from tests.tenants.confirming import confirmed
from tests.tenants.routes import console_routes

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


def test_nobody_signed_in_may_anything(alpha: Organization) -> None:
    for act in PAGE_ACTS.values():
        if act is not None:
            answer = Client().get(f"/o/alpha/{act.path}")
            assert answer["Location"].startswith("/accounts/login/")
