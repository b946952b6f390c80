"""Opening another organization."""

from __future__ import annotations

from typing import cast

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.http import require_http_methods

from portal.services.onboarding import open_organization
from tenants.actors import user_actor
from tenants.client_ip import client_ip
from tenants.forms import OrganizationForm
from tenants.models import User


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def organization_new(request: HttpRequest) -> HttpResponse:
    """Open an organization and go to its overview."""
    user = cast(User, request.user)
    form = OrganizationForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        organization = open_organization(
            name=form.cleaned_data["name"],
            owner=user,
            actor=user_actor(user.id, user.email, client_ip(request)),
            now=timezone.now(),
        )
        return redirect("overview", organization.slug)
    return render(request, "portal/organization_new.html", {"form": form, "gets_trial": user.trial_taken_at is None})
