"""Sessions that a provider opened: they see the organization whose provider it is, and nothing else of the person's.

Whoever runs an organization's provider can sign in as any of its members. That must not reach their other
organizations, their password, their mail addresses or their second factors.
"""

from __future__ import annotations

from collections.abc import Callable
from uuid import UUID

from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.shortcuts import render

CONFINED_TO = "sso_only"
PASSED = "sso_passed"
# What such a session may open; pages under /o/ look for themselves (console_page).
OPEN = ("/o/", "/sso/", "/static/", "/i18n/", "/home/", "/accounts/logout/", "/accounts/login/", "/healthz", "/readyz")


def confined_to(request: HttpRequest) -> str | None:
    """Return the id of the only organization that this session sees, or None when it is the person's own."""
    session = getattr(request, "session", None)
    return session.get(CONFINED_TO) if session is not None else None


def passed_sso(request: HttpRequest, organization_id: UUID) -> bool:
    """Return whether this session came by the organization's provider."""
    session = getattr(request, "session", None)
    return session is not None and str(organization_id) in session.get(PASSED, [])


class ConfinedSession:
    """Refuse a session that a provider opened everything but its organization."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        if request.path != "/" and not request.path.startswith(OPEN) and confined_to(request):
            return render(request, "tenants/confined.html", status=403)
        return self.get_response(request)
