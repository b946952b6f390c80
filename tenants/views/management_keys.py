"""The organization's management keys."""

from __future__ import annotations

from uuid import UUID

from django.contrib import messages
from django.http import Http404, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from tenants.forms import ManagementKeyForm
from tenants.models import ManagementKey
from tenants.permissions import LABELS, Permission
from tenants.queries.management_keys import management_keys as all_keys
from tenants.services.management_keys import create_management_key, revoke_management_key
from tenants.views.access import ConsoleRequest, actor_of, console_page


@console_page("management_keys.manage")
@require_safe
def management_keys(request: ConsoleRequest) -> HttpResponse:
    """List the keys, without their secrets: these are not known here."""
    now = timezone.now()
    rows = [
        {
            "key": key,
            "status": key.status_at(now),
            "scopes": [LABELS[Permission(scope)] for scope in key.scopes],
            "dialog": f"revoke-{key.id}",
        }
        for key in all_keys()
    ]
    return render(request, "tenants/management_keys.html", {"rows": rows})


@console_page("management_keys.manage")
@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
def management_key_new(request: ConsoleRequest) -> HttpResponse:
    """Make a key; the answer is the one page that ever shows its secret."""
    form = ManagementKeyForm(request.POST or None, allowed=request.permissions)
    if request.method == "POST" and form.is_valid():
        now = timezone.now()
        key, secret = create_management_key(
            organization_id=request.organization.id,
            name=form.cleaned_data["name"],
            scopes=form.wanted_scopes(),
            allowed=request.permissions,
            expires_at=form.expires_at(now),
            actor=actor_of(request),
            now=now,
        )
        return render(request, "tenants/management_key_created.html", {"key": key, "secret": secret})
    return render(request, "tenants/management_key_form.html", {"form": form})


@console_page("management_keys.manage")
@require_POST
def management_key_revoke(request: ConsoleRequest, key_id: UUID) -> HttpResponse:
    """Revoke a key, once its name was typed to confirm it."""
    key = ManagementKey.objects.filter(id=key_id).first()
    if key is None:
        raise Http404
    if request.POST.get("confirm_name", "").strip() != key.name.strip():
        messages.error(request, _("The name did not match, so nothing was revoked."))
    else:
        revoke_management_key(key_id=key_id, actor=actor_of(request), now=timezone.now())
        messages.success(request, _("The key %(key)s is revoked.") % {"key": key})
    return redirect("management_keys", request.organization.slug)
