"""What each role may do: the one table that pages, management keys and documentation read.

`docs/permissions.md` is written from it by `manage.py permissions`.
"""

from __future__ import annotations

from enum import StrEnum

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from tenants.models import Role


class Permission(StrEnum):
    """Something that a member or a management key may be allowed to do in one organization."""

    ORGANIZATION_VIEW = "organization.view"
    ORGANIZATION_MANAGE = "organization.manage"
    ORGANIZATION_OWN = "organization.own"
    MEMBERS_VIEW = "members.view"
    MEMBERS_MANAGE = "members.manage"
    TEAMS_MANAGE = "teams.manage"
    SUB_TOKENS_VIEW = "sub_tokens.view"
    SUB_TOKENS_MANAGE = "sub_tokens.manage"
    PLAYGROUND_RUN = "playground.run"
    CALLS_VIEW = "calls.view"
    LEDGER_VIEW = "ledger.view"
    GRANTS_VIEW = "grants.view"
    BILLING_MANAGE = "billing.manage"
    LIMITS_VIEW = "limits.view"
    LIMITS_MANAGE = "limits.manage"
    MANAGEMENT_KEYS_MANAGE = "management_keys.manage"
    AUDIT_VIEW = "audit.view"
    ALERTS_VIEW = "alerts.view"
    ALERTS_MANAGE = "alerts.manage"
    WEBHOOKS_MANAGE = "webhooks.manage"


P, R = Permission, Role
EVERYBODY = frozenset(Role)
ADMINS = frozenset({R.OWNER, R.ADMIN})

ROLES_OF: dict[Permission, frozenset[Role]] = {
    P.ORGANIZATION_VIEW: EVERYBODY,
    P.ORGANIZATION_MANAGE: ADMINS,
    P.ORGANIZATION_OWN: frozenset({R.OWNER}),
    P.MEMBERS_VIEW: EVERYBODY,
    P.MEMBERS_MANAGE: ADMINS,
    P.TEAMS_MANAGE: ADMINS,
    P.SUB_TOKENS_VIEW: EVERYBODY,
    P.SUB_TOKENS_MANAGE: ADMINS,
    P.PLAYGROUND_RUN: ADMINS | {R.DEVELOPER},
    P.CALLS_VIEW: EVERYBODY,
    P.LEDGER_VIEW: EVERYBODY,
    P.GRANTS_VIEW: EVERYBODY,
    P.BILLING_MANAGE: ADMINS | {R.BILLING},
    P.LIMITS_VIEW: EVERYBODY,
    P.LIMITS_MANAGE: ADMINS | {R.BILLING},
    P.MANAGEMENT_KEYS_MANAGE: ADMINS,
    P.AUDIT_VIEW: ADMINS,
    P.ALERTS_VIEW: EVERYBODY,
    P.ALERTS_MANAGE: ADMINS | {R.BILLING},
    P.WEBHOOKS_MANAGE: ADMINS,
}

LABELS: dict[Permission, Promise] = {
    P.ORGANIZATION_VIEW: _("See the overview"),
    P.ORGANIZATION_MANAGE: _("Change the organization's settings"),
    P.ORGANIZATION_OWN: _("Hand over, export and delete the organization"),
    P.MEMBERS_VIEW: _("See members"),
    P.MEMBERS_MANAGE: _("Change and remove members"),
    P.TEAMS_MANAGE: _("Make and change teams"),
    P.SUB_TOKENS_VIEW: _("See sub-tokens"),
    P.SUB_TOKENS_MANAGE: _("Make, change and revoke sub-tokens"),
    P.PLAYGROUND_RUN: _("Run the playground"),
    P.CALLS_VIEW: _("See calls"),
    P.LEDGER_VIEW: _("See the ledger"),
    P.GRANTS_VIEW: _("See grants"),
    P.BILLING_MANAGE: _("Buy Tokens and move them"),
    P.LIMITS_VIEW: _("See limits and how far they are used"),
    P.LIMITS_MANAGE: _("Set limits"),
    P.MANAGEMENT_KEYS_MANAGE: _("Make and revoke management keys"),
    P.AUDIT_VIEW: _("See the audit log"),
    P.ALERTS_VIEW: _("See alerts and choose one's own"),
    P.ALERTS_MANAGE: _("Change levels and rules of alerts"),
    P.WEBHOOKS_MANAGE: _("Make and change webhook endpoints"),
}

# A key administers without a person behind it: it makes no more keys, runs nothing that a person should look at, and
# does nothing that a person has to confirm with their own password.
MANAGEMENT_KEY_SCOPES: tuple[Permission, ...] = tuple(
    permission
    for permission in Permission
    if permission not in {P.MANAGEMENT_KEYS_MANAGE, P.PLAYGROUND_RUN, P.ORGANIZATION_OWN}
)


def permissions_of(role: str) -> frozenset[Permission]:
    """Return what a role may do."""
    return frozenset(permission for permission, roles in ROLES_OF.items() if role in roles)


def allows(role: str, permission: Permission | str) -> bool:
    """Return whether a role may do something; an unknown permission is a `ValueError`, not a no."""
    return role in ROLES_OF[Permission(permission)]


def markdown_table() -> str:
    """Return the table as Markdown, a row for each permission and a column for each role."""
    lines = [
        "| Permission | " + " | ".join(role.value for role in Role) + " |",
        "|---|" + "---|" * len(Role),
    ]
    for permission, roles in ROLES_OF.items():
        lines.append(f"| `{permission}` | " + " | ".join("yes" if role in roles else "–" for role in Role) + " |")
    return "\n".join(lines) + "\n"
