"""The door of the platform's staff: who passes it, and that it is written down where they look.

Staff see an organization through its own walls: a page about one runs in that organization's scope, and leaves an event
in its audit log, which its admins read.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

import structlog
from django.http import Http404, HttpRequest, HttpResponseBase
from django.template.response import SimpleTemplateResponse
from django.utils import timezone

from tenants.actors import Actor, staff_actor
from tenants.client_ip import client_ip
from tenants.models import Organization, User
from tenants.queries.second_factor import has_second_factor
from tenants.scope import organization_scope, platform_scope
from tenants.services import audit

log = structlog.get_logger(__name__)
View = Callable[..., HttpResponseBase]


class StaffRequest(HttpRequest):
    """A request of somebody of the staff; `organization` is the one that the page is about, if it is about one."""

    user: User
    organization_seen: Organization


def is_staff(user: Any) -> bool:
    """Return whether somebody may pass: active, of the staff, and with a second factor."""
    return bool(user.is_authenticated and user.is_active and user.is_staff and has_second_factor(user.pk))


def staff_page(view: View) -> View:
    """Let only staff see a page about the platform. It runs in the platform's scope; for others it does not exist."""

    @wraps(view)
    def guarded(request: HttpRequest, **kwargs: Any) -> HttpResponseBase:
        _pass(request, view)
        with platform_scope(f"staff {request.user.pk}: {view.__name__}"):
            return _rendered(view(request, **kwargs))

    guarded.staff_door = "platform"  # type: ignore[attr-defined]
    return guarded


def staff_organization_page(view: View) -> View:
    """Let only staff see a page about one organization, in its scope; each look is in the organization's audit log."""

    @wraps(view)
    def guarded(request: HttpRequest, organization_id: Any, **kwargs: Any) -> HttpResponseBase:
        _enter(request, view, organization_id)
        with organization_scope(organization_id):
            audit.record(
                organization_id=organization_id,
                actor=staff_actor_of(request),
                action="staff.looked",
                target_kind="organization",
                target_id=organization_id,
                after={"page": view.__name__},
                now=timezone.now(),
            )
            return _rendered(view(request, **kwargs))

    guarded.staff_door = "organization"  # type: ignore[attr-defined]
    return guarded


def staff_act_page(view: View) -> View:
    """Let only staff use a page that changes one organization; it opens its scopes itself and records what it did."""

    @wraps(view)
    def guarded(request: HttpRequest, organization_id: Any, **kwargs: Any) -> HttpResponseBase:
        _enter(request, view, organization_id)
        return view(request, **kwargs)

    guarded.staff_door = "act"  # type: ignore[attr-defined]
    return guarded


def staff_actor_of(request: HttpRequest) -> Actor:
    """Return who of the staff is asking, for services and audit logs."""
    user: Any = request.user
    return staff_actor(user.id, user.email, client_ip(request))


def _pass(request: HttpRequest, view: View, **facts: Any) -> None:
    if not is_staff(request.user):
        raise Http404
    log.info("staff_door", staff=str(request.user.pk), page=view.__name__, method=request.method, **facts)


def _enter(request: HttpRequest, view: View, organization_id: Any) -> None:
    _pass(request, view, organization=str(organization_id))
    with platform_scope(f"staff {request.user.pk}: {view.__name__} of {organization_id}"):
        organization = Organization.objects.filter(id=organization_id).first()
    if organization is None:
        raise Http404
    request.organization_seen = organization  # type: ignore[attr-defined]


def _rendered(response: HttpResponseBase) -> HttpResponseBase:
    if isinstance(response, SimpleTemplateResponse):
        response.render()
    return response
