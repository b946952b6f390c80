"""The organization's settings."""

from __future__ import annotations

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods

from tenants.forms import OrganizationForm
from tenants.services.organizations import rename_organization
from tenants.views.access import ConsoleRequest, actor_of, console_page


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
