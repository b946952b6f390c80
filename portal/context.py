"""What every page of the console shows around its content."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest

from billing.queries.alerts import unread_count
from billing.views.balance import standing_of
from portal.navigation import sections_for
from tenants.confined import confined_to
from tenants.views.impersonation import impersonation_of


def console(request: HttpRequest) -> dict[str, Any]:
    """Return `console` for pages inside an organization: its sidebar, the person's other organizations, the balance.

    Runs inside the organization's scope, because `console_page` renders there.
    """
    organization = getattr(request, "organization", None)
    # A request from htmx wants a fragment, which has no frame around it.
    if organization is None or getattr(request, "htmx", False):
        return {}
    navigation = sections_for(request, organization.slug, request.permissions)  # type: ignore[attr-defined]
    return {
        "console": {
            "organization": organization,
            "membership": request.membership,  # type: ignore[attr-defined]
            "memberships": [
                membership
                for membership in request.memberships  # type: ignore[attr-defined]
                if confined_to(request) in (None, str(membership.organization_id))
            ],
            "navigation": navigation,
            "unread_alerts": unread_count(request.membership.user_id),  # type: ignore[attr-defined]
            "balance": standing_of(request),  # type: ignore[arg-type]
            "palette": [link for section in navigation for link in section.items],
        }
    }


def impersonation(request: HttpRequest) -> dict[str, Any]:
    """Return `impersonation` for every page that staff see while they look with a member's eyes."""
    return {"impersonation": impersonation_of(request) if hasattr(request, "user") else None}
