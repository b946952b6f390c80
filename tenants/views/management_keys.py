"""The organization's management keys."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any
from uuid import UUID

from django.contrib import messages
from django.http import Http404, HttpResponse, HttpResponseBase
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from tenants.errors import KeyRevoked, TenantsError
from tenants.forms import GraceForm, ManagementKeyChangeForm, ManagementKeyFilter, ManagementKeyForm
from tenants.models import ManagementKey
from tenants.permissions import LABELS, Permission
from tenants.queries.management_keys import management_keys as found_keys
from tenants.queries.management_keys import old_secrets_of
from tenants.queries.pages import page_after
from tenants.scope import organization_scope
from tenants.services import management_keys as service
from tenants.views.access import ConsoleRequest, actor_of, console_page
from tenants.views.downloads import csv_response

PAGE = 50
CSV_COLUMNS = [
    "id",
    "name",
    "prefix",
    "status",
    "scopes",
    "ip_allow_list",
    "created_by",
    "created_at",
    "expires_at",
    "last_used_at",
    "last_used_ip",
]


@console_page("management_keys.manage")
@require_safe
def management_keys(request: ConsoleRequest) -> HttpResponse:
    """List the keys, 50 a page, without their secrets: these are not known here (`?q=&status=&cursor=`)."""
    form, now = ManagementKeyFilter(request.GET), timezone.now()
    cursor = form.chosen.get("cursor")
    keys, next_cursor = page_after(found_keys(**form.search(), now=now), cursor=cursor, limit=PAGE)
    context = {
        "form": form,
        "filtered": any(form.search().values()),
        "rows": [{"key": key, "status": key.status_at(now), "scopes": _words(key)} for key in keys],
        "next_cursor": next_cursor,
        "first": cursor is None,
    }
    return render(request, "tenants/management_keys.html", context)


@console_page("management_keys.manage")
@require_safe
def management_keys_csv(request: ConsoleRequest) -> HttpResponseBase:
    """Download the keys as CSV, with the filters of the list."""
    rows = _csv_rows(request.organization.id, ManagementKeyFilter(request.GET).search())
    return csv_response(f"management-keys-{request.organization.slug}.csv", rows)


@console_page("management_keys.manage")
@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
def management_key_new(request: ConsoleRequest) -> HttpResponse:
    """Make a key; the answer is the one page that ever shows its secret."""
    form = ManagementKeyForm(request.POST or None, allowed=request.permissions)
    if request.method == "POST" and form.is_valid():
        now = timezone.now()
        key, secret = service.create_management_key(
            organization_id=request.organization.id,
            name=form.cleaned_data["name"],
            scopes=form.wanted_scopes(),
            allowed=request.permissions,
            expires_at=form.expires_at(now),
            ip_allow_list=form.cleaned_data["ip_allow_list"],
            actor=actor_of(request),
            now=now,
        )
        return render(request, "tenants/management_key_created.html", {"key": key, "secret": secret})
    return render(request, "tenants/management_key_form.html", {"form": form})


@console_page("management_keys.manage")
@require_http_methods(["GET", "HEAD", "POST"])
def management_key(request: ConsoleRequest, key_id: UUID) -> HttpResponse:
    """Show a key and change its name, scopes, life or addresses."""
    key, now = _find(key_id), timezone.now()
    form = ManagementKeyChangeForm(request.POST or None, key=key, allowed=request.permissions)
    if request.method == "POST" and form.is_valid():
        try:
            service.change_management_key(
                key_id=key.id,
                changes=form.changes(now),
                allowed=request.permissions,
                actor=actor_of(request),
                now=now,
            )
        except TenantsError as error:
            form.add_error(None, str(error))
        else:
            messages.success(request, _("The key %(key)s is changed.") % {"key": form.cleaned_data["name"]})
            return redirect("management_key", request.organization.slug, key.id)
    context = {
        "key": key,
        "form": form,
        "status": key.status_at(now),
        "old_secrets": old_secrets_of(key, now),
        "grace_form": GraceForm(auto_id="rotate-%s"),
    }
    return render(request, "tenants/management_key.html", context)


@console_page("management_keys.manage")
@require_POST
@never_cache
def management_key_rotate(request: ConsoleRequest, key_id: UUID) -> HttpResponse:
    """Give a key a new secret (`grace_hours`); the answer is the one page that ever shows it."""
    key, form, now = _find(key_id), GraceForm(request.POST), timezone.now()
    if not form.is_valid():
        messages.error(request, _("Say how long the old secret keeps working; nothing was changed."))
        return redirect("management_key", request.organization.slug, key.id)
    try:
        fresh, secret = service.rotate_management_key(
            key_id=key.id, grace=form.grace(), actor=actor_of(request), now=now
        )
    except KeyRevoked as error:
        messages.error(request, str(error))
        return redirect("management_key", request.organization.slug, key.id)
    return render(request, "tenants/management_key_created.html", {"key": fresh, "secret": secret})


@console_page("management_keys.manage")
@require_POST
def management_key_end_grace(request: ConsoleRequest, key_id: UUID) -> HttpResponse:
    """End the older secrets of a key before their time."""
    key = _find(key_id)
    service.end_grace_of_key(key_id=key.id, actor=actor_of(request), now=timezone.now())
    messages.success(request, _("Only the newest secret of %(name)s works from now on.") % {"name": key})
    return redirect("management_key", request.organization.slug, key.id)


@console_page("management_keys.manage")
@require_POST
def management_key_revoke(request: ConsoleRequest, key_id: UUID) -> HttpResponse:
    """Revoke a key, once its name was typed to confirm it."""
    key = _find(key_id)
    if request.POST.get("confirm_name", "").strip() != key.name.strip():
        messages.error(request, _("The name did not match, so nothing was revoked."))
    else:
        service.revoke_management_key(key_id=key_id, actor=actor_of(request), now=timezone.now())
        messages.success(request, _("The key %(key)s is revoked.") % {"key": key})
    return redirect("management_keys", request.organization.slug)


def _find(key_id: UUID) -> ManagementKey:
    key = ManagementKey.objects.select_related("created_by").filter(id=key_id).first()
    if key is None:
        raise Http404
    return key


def _words(key: ManagementKey) -> list[Any]:
    return [LABELS[Permission(scope)] for scope in key.scopes]


def _csv_rows(organization_id: UUID, search: dict[str, str]) -> Iterator[Sequence[Any]]:
    yield CSV_COLUMNS
    now, cursor = timezone.now(), None
    while True:
        with organization_scope(organization_id):
            keys, cursor = page_after(found_keys(**search, now=now), cursor=cursor, limit=500)
        for key in keys:
            yield [
                key.id,
                key.name,
                key.prefix,
                key.status_at(now),
                " ".join(key.scopes),
                " ".join(key.ip_allow_list),
                key.created_by or "",
                key.created_at.isoformat(),
                key.expires_at.isoformat() if key.expires_at else "",
                key.last_used_at.isoformat() if key.last_used_at else "",
                key.last_used_ip or "",
            ]
        if cursor is None:
            return
