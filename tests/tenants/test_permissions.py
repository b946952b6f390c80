"""What each role may do: one table in the code, the same in the documentation."""

from io import StringIO
from itertools import product

import pytest
from django.core.management import call_command

from tenants.models import Role
from tenants.permissions import LABELS, MANAGEMENT_KEY_SCOPES, ROLES_OF, Permission, allows, permissions_of

# Said a second time on purpose: nobody changes what a role may do by accident.
MAY = {
    Role.OWNER: set(Permission),
    Role.ADMIN: set(Permission) - {"organization.own"},
    Role.BILLING: {
        "organization.view",
        "members.view",
        "sub_tokens.view",
        "calls.view",
        "ledger.view",
        "grants.view",
        "billing.manage",
        "alerts.view",
        "alerts.manage",
        "limits.view",
        "limits.manage",
    },
    Role.DEVELOPER: {
        "organization.view",
        "members.view",
        "sub_tokens.view",
        "playground.run",
        "calls.view",
        "ledger.view",
        "grants.view",
        "alerts.view",
        "limits.view",
    },
    Role.VIEWER: {
        "organization.view",
        "members.view",
        "sub_tokens.view",
        "calls.view",
        "ledger.view",
        "grants.view",
        "alerts.view",
        "limits.view",
    },
}


@pytest.mark.parametrize(("role", "permission"), list(product(Role, Permission)))
def test_each_cell(role: Role, permission: Permission) -> None:
    assert allows(role, permission) == (permission in MAY[role])
    assert (permission in permissions_of(role)) == (permission in MAY[role])


def test_every_permission_has_roles_and_words() -> None:
    assert set(ROLES_OF) == set(LABELS) == set(Permission)


def test_an_unknown_permission_is_a_mistake_not_a_no() -> None:
    with pytest.raises(ValueError):
        allows(Role.OWNER, "teams.destroy")


def test_an_unknown_role_may_nothing() -> None:
    assert permissions_of("stranger") == frozenset()


def test_a_key_cannot_make_keys() -> None:
    assert Permission.MANAGEMENT_KEYS_MANAGE not in MANAGEMENT_KEY_SCOPES


def test_the_documentation_says_the_same() -> None:
    call_command("permissions", "--check", stdout=StringIO())
