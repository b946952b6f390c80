"""Borrowed eyes on pages: what `console_page` lets through for staff who look as a member, and nothing more."""

from __future__ import annotations

import uuid
from typing import Any, cast

from django.core.exceptions import PermissionDenied
from django.http import HttpRequest
from django.utils import timezone

from tenants.models import Membership, Organization, User
from tenants.permissions import Permission, permissions_of
from tenants.scope import organization_scope
from tenants.services import audit
from tenants.services.impersonation import Impersonation, end_impersonation
from tenants.views.staff_access import is_staff, staff_actor_of

KEPT_AS, PAGES_KEPT_AS = "impersonation", "impersonation_pages"
# Looking, and nothing that changes or shows a secret.
VIEWING = frozenset(permission for permission in Permission if permission.value.endswith(".view"))
SAFE_METHODS = ("GET", "HEAD", "OPTIONS")


def impersonation_of(request: HttpRequest) -> Impersonation | None:
    """Return the impersonation that is on in this session, or None. One that is over is ended here and written down."""
    kept: dict[str, Any] | None = request.session.get(KEPT_AS) if hasattr(request, "session") else None
    if kept is None:
        return None
    impersonation = Impersonation(**kept)
    user: Any = request.user
    if not is_staff(user) or str(user.pk) != impersonation.staff_id:
        forget(request)
        return None
    now = timezone.now()
    if impersonation.is_over(now):
        forget(request)
        end_impersonation(impersonation=impersonation, actor=staff_actor_of(request), now=now)
        return None
    return impersonation


def borrowed_membership(request: HttpRequest, slug: str) -> Membership | None:
    """Return the membership by which staff may look at this organization now, or None; each page is written down once.

    It is never saved: it has the role of the member whose eyes are borrowed, and belongs to the person who looks.
    Raises PermissionDenied for anything but looking.
    """
    impersonation = impersonation_of(request)
    if impersonation is None or impersonation.slug != slug:
        return None
    if request.method not in SAFE_METHODS:
        raise PermissionDenied
    organization_id = uuid.UUID(impersonation.organization_id)
    with organization_scope(organization_id):
        organization = Organization.objects.filter(id=organization_id, slug=slug).first()
        if organization is None:
            return None
        pages: list[str] = request.session.setdefault(PAGES_KEPT_AS, [])
        if request.path not in pages:
            request.session[PAGES_KEPT_AS] = [*pages, request.path]
            _record_look(request, impersonation)
    return Membership(organization=organization, user=cast(User, request.user), role=impersonation.role)


def begin(request: HttpRequest, impersonation: Impersonation) -> None:
    """Keep an impersonation that was started in the session."""
    request.session[KEPT_AS], request.session[PAGES_KEPT_AS] = impersonation.as_json(), []


def forget(request: HttpRequest) -> None:
    """Drop what the session keeps of an impersonation."""
    for name in (KEPT_AS, PAGES_KEPT_AS):
        request.session.pop(name, None)


def _record_look(request: HttpRequest, impersonation: Impersonation) -> None:
    audit.record(
        organization_id=uuid.UUID(impersonation.organization_id),
        actor=staff_actor_of(request),
        action="staff.looked_as",
        target_kind="membership",
        target_id=uuid.UUID(impersonation.membership_id),
        after={"member": impersonation.email, "page": request.path},
        reason=impersonation.reason,
        now=timezone.now(),
    )


def borrowed_permissions(role: str) -> frozenset[Permission]:
    """Return what may be seen with the eyes of a role."""
    return permissions_of(role) & VIEWING
