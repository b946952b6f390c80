"""The door to an organization's pages."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from functools import wraps
from typing import Any, cast
from uuid import UUID

from django.contrib import messages
from django.contrib.auth.views import redirect_to_login
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect, resolve_url
from django.template.response import SimpleTemplateResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.http import url_has_allowed_host_and_scheme, urlencode
from django.utils.translation import gettext as _
from django_htmx.http import HttpResponseClientRedirect

from tenants.actors import Actor, user_actor
from tenants.client_ip import client_ip
from tenants.confined import confined_to, passed_sso
from tenants.errors import KeyInUse
from tenants.models import Membership, Organization, Role, User
from tenants.permissions import Permission, permissions_of
from tenants.queries.memberships import memberships_of
from tenants.queries.second_factor import has_second_factor
from tenants.scope import organization_scope
from tenants.services.idempotency import first_time
from tenants.views.impersonation import SAFE_METHODS, borrowed_membership, borrowed_permissions, impersonation_of

FORM_KEY = "form_key"


class ConsoleRequest(HttpRequest):
    """A request of a member, inside the scope of their organization.

    `memberships` are all that the person has, and `permissions` what the role in this organization may do.
    """

    user: User
    organization: Organization
    membership: Membership
    memberships: list[Membership]
    permissions: frozenset[Permission]


def console_page(
    permission: str, *, scoped: bool = True, while_closing: bool = False
) -> Callable[[Callable[..., HttpResponseBase]], Callable[..., HttpResponseBase]]:
    """Let only members whose role has `permission` see the page of the organization named by `slug` in the URL.

    The view runs in one transaction, inside the organization's scope, and gets `request.organization`,
    `request.membership`, `request.memberships`, `request.permissions` and the URL's other arguments (not `slug`). It
    must render inside: a lazy template response is rendered here, a streaming one would find no rows. A view that waits
    for another process to see what it wrote (`scoped=False`) opens and closes the scope itself.

    Nobody signed in: to the sign-in page. Not a member: 404, the same as for an organization that does not exist.
    A role without the permission: 403. Where the organization requires a second factor, who has none is led to set one
    up, and where it requires its own provider, who has not come by it is led there; a session that the provider opened
    (`tenants.confined`) is asked for no second factor, sees this organization alone, and may do nothing that only
    owners may. A form with a `form_key` acts once. While the organization is being deleted only pages that say
    `while_closing` are there; the others lead to the page that tells so.
    """
    needed = Permission(permission)

    def decorate(view: Callable[..., HttpResponseBase]) -> Callable[..., HttpResponseBase]:
        @wraps(view)
        def guarded(request: HttpRequest, slug: str, **kwargs: Any) -> HttpResponseBase:
            if not request.user.is_authenticated:
                return to_sign_in(request)
            membership, memberships, permissions = _standing(request, slug)
            confined = confined_to(request)
            if confined is not None and confined != str(membership.organization_id):
                raise Http404
            if _must_come_by_provider(request, membership):
                return _redirect(request, f"{reverse('sso', args=[slug])}?{urlencode({'next': request.path})}")
            if (
                membership.organization.requires_second_factor
                and confined is None
                and not has_second_factor(membership.user_id)
            ):
                return _to_second_factor(request, membership.organization)
            if membership.organization.deletion_requested_at is not None and not while_closing:
                return _redirect(request, reverse("closing", args=[slug]))
            if needed not in permissions or (confined is not None and needed is Permission.ORGANIZATION_OWN):
                raise PermissionDenied
            request.membership = membership  # type: ignore[attr-defined]
            request.memberships = memberships  # type: ignore[attr-defined]
            request.organization = membership.organization  # type: ignore[attr-defined]
            request.permissions = permissions  # type: ignore[attr-defined]
            if not scoped:
                return view(request, **kwargs)
            with organization_scope(membership.organization_id):
                if _sent_before(request, membership.organization_id):
                    messages.warning(request, _("This form was sent already. Nothing was done a second time."))
                    return _redirect(request, _page_of_the_form(request))
                response = view(request, **kwargs)
                if isinstance(response, SimpleTemplateResponse):
                    response.render()
                return response

        guarded.console_permission = needed  # type: ignore[attr-defined]
        return guarded

    return decorate


def with_own_eyes(view: Callable[..., HttpResponseBase]) -> Callable[..., HttpResponseBase]:
    """Let staff act only while they do not look as a member: what they do there is done under their own name alone."""

    @wraps(view)
    def guarded(request: HttpRequest, **kwargs: Any) -> HttpResponseBase:
        if request.method not in SAFE_METHODS and impersonation_of(request) is not None:
            messages.error(request, _("You look as a member just now, and nothing was done. End that first."))
            return redirect(_page_of_the_form(request))
        return view(request, **kwargs)

    return guarded


def _sent_before(request: HttpRequest, organization_id: UUID) -> bool:
    """Tell whether a form that acts once (`form_key`) came before: by a reload, the way back, or a second click.

    The key is new whenever the form is shown, and given back when the view fails. A preview is no act.
    """
    key = request.POST.get(FORM_KEY, "") if request.method == "POST" else ""
    if not key or request.headers.get("HX-Request"):
        return False
    route = f"form {hashlib.sha256(request.path.encode()).hexdigest()}"
    try:
        return not first_time(organization_id=organization_id, key=key[:64], route=route, now=timezone.now())
    except KeyInUse:
        return True


def _page_of_the_form(request: HttpRequest) -> str:
    """Return where the form was sent from, if that is a page of ours."""
    referer = request.headers.get("Referer", "")
    ours = url_has_allowed_host_and_scheme(referer, allowed_hosts={request.get_host()})
    return referer if ours else request.path


def _must_come_by_provider(request: HttpRequest, membership: Membership) -> bool:
    """Return whether a member has yet to come in by the organization's provider. Owners need not: it may be broken."""
    organization = membership.organization
    return (
        organization.requires_single_sign_on
        and membership.role != Role.OWNER
        and membership.user_id == request.user.pk
        and not passed_sso(request, organization.id)
    )


def _standing(request: HttpRequest, slug: str) -> tuple[Membership, list[Membership], frozenset[Permission]]:
    """Return the membership by which somebody sees an organization, all that this person has, and what it allows; 404
    where there is none.

    In a frozen organization members only look.
    """
    memberships = memberships_of(cast(User, request.user).pk)
    membership = next((one for one in memberships if one.organization.slug == slug), None)
    if membership is None:
        membership = borrowed_membership(request, slug)
        if membership is None:
            raise Http404
        return membership, memberships_of(membership.user_id), borrowed_permissions(membership.role)
    if membership.organization.frozen_at is not None and request.method not in SAFE_METHODS:
        raise PermissionDenied
    return membership, memberships, permissions_of(membership.role)


def require_permission(request: ConsoleRequest, permission: Permission) -> None:
    """Answer 403 unless the member may do this: for pages where looking and changing need different permissions."""
    if permission not in request.permissions:
        raise PermissionDenied


def actor_of(request: ConsoleRequest) -> Actor:
    """Return who is asking, for services and the audit log."""
    return user_actor(request.user.id, request.user.email, client_ip(request))


def to_sign_in(request: HttpRequest) -> HttpResponse:
    """Send somebody to the sign-in page and back here afterwards; a fragment's request takes the whole page along."""
    if request.headers.get("HX-Request"):
        current = request.headers.get("HX-Current-URL", "/")
        return HttpResponseClientRedirect(redirect_to_login(current, resolve_url("account_login")).url)
    return redirect_to_login(request.get_full_path(), resolve_url("account_login"))


def _to_second_factor(request: HttpRequest, organization: Organization) -> HttpResponse:
    text = _("%(organization)s asks for a second factor. Set one up here, then come back.")
    messages.warning(request, text % {"organization": organization})
    return _redirect(request, reverse("mfa_index"))


def _redirect(request: HttpRequest, url: str) -> HttpResponse:
    return HttpResponseClientRedirect(url) if request.headers.get("HX-Request") else redirect(url)
