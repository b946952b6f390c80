"""The organization's settings."""

from __future__ import annotations

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods

from tenants.forms import OrganizationSettingsForm
from tenants.models import WhenUncounted
from tenants.services.organizations import change_when_uncounted, rename_organization
from tenants.views.access import ConsoleRequest, actor_of, console_page


@console_page("organization.manage")
@require_http_methods(["GET", "HEAD", "POST"])
def organization_settings(request: ConsoleRequest) -> HttpResponse:
    """Rename the organization, and say what becomes of its calls while their requests cannot be counted."""
    organization = request.organization
    initial = {"name": organization.name, "when_uncounted": organization.when_uncounted}
    form = OrganizationSettingsForm(request.POST or None, initial=initial)
    if request.method == "POST" and form.is_valid():
        actor, now, chosen = actor_of(request), timezone.now(), form.cleaned_data
        rename_organization(organization=organization, name=chosen["name"], actor=actor, now=now)
        policy = WhenUncounted(chosen["when_uncounted"])
        change_when_uncounted(organization=organization, policy=policy, actor=actor, now=now)
        if chosen["name"] != initial["name"]:
            messages.success(request, _("The organization is now called %(name)s.") % {"name": organization})
        else:
            messages.success(request, _("The settings are saved."))
        return redirect("organization_settings", organization.slug)
    return render(request, "tenants/organization_settings.html", {"form": form})
