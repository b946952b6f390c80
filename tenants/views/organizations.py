"""The organization's settings and its audit log."""

from __future__ import annotations

from uuid import UUID

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_safe

from tenants.forms import OrganizationForm
from tenants.queries.audit import audit_events as page_of_events
from tenants.services.organizations import rename_organization
from tenants.views.access import ConsoleRequest, actor_of, console_page
from tenants.views.audit_words import ACTIONS, changes


@console_page("organization.manage")
@require_http_methods(["GET", "HEAD", "POST"])
def organization_settings(request: ConsoleRequest) -> HttpResponse:
    """Rename the organization."""
    form = OrganizationForm(request.POST or None, initial={"name": request.organization.name})
    if request.method == "POST" and form.is_valid():
        rename_organization(
            organization=request.organization,
            name=form.cleaned_data["name"],
            actor=actor_of(request),
            now=timezone.now(),
        )
        messages.success(request, _("The organization is now called %(name)s.") % {"name": request.organization})
        return redirect("organization_settings", request.organization.slug)
    return render(request, "tenants/organization_settings.html", {"form": form})


@console_page("audit.view")
@require_safe
def audit_events(request: ConsoleRequest) -> HttpResponse:
    """List who did what, newest first; `?action=` keeps one kind, `?cursor=` goes on."""
    action = request.GET.get("action", "")
    events, next_cursor = page_of_events(before=_uuid(request.GET.get("cursor", "")), action=action)
    context = {
        "rows": [
            {"event": event, "words": ACTIONS.get(event.action, event.action), "changes": changes(event)}
            for event in events
        ],
        "actions": ACTIONS,
        "action": action,
        "next_cursor": next_cursor,
        "first": "cursor" not in request.GET,
    }
    return render(request, "tenants/audit_events.html", context)


def _uuid(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None
