"""A person's own account, and the way to their organizations."""

from __future__ import annotations

from typing import cast

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import translation
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_safe

from tenants.adapter import set_language_cookie
from tenants.confined import confined_to
from tenants.forms import ProfileForm
from tenants.models import User
from tenants.queries.memberships import memberships_of
from tenants.queries.second_factor import has_second_factor


@login_required
@require_safe
def home(request: HttpRequest) -> HttpResponse:
    """Lead a person to their first organization, or to opening one."""
    memberships = memberships_of(cast(User, request.user).id)
    if (only := confined_to(request)) is not None:
        memberships = [membership for membership in memberships if str(membership.organization_id) == only]
    if not memberships:
        return redirect("organization_new")
    return redirect("overview", memberships[0].organization.slug)


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def account(request: HttpRequest) -> HttpResponse:
    """Let a person change their name and language, and lead to mail address and password."""
    user = cast(User, request.user)
    initial = {"language": user.language or translation.get_language()}
    form = ProfileForm(request.POST or None, instance=user, initial=initial)
    if request.method == "POST" and form.is_valid():
        form.save()
        with translation.override(user.language):
            messages.success(request, _("Saved."))
        response = redirect("account")
        set_language_cookie(response, user.language)
        return response
    context = {
        "form": form,
        "memberships": memberships_of(user.id),
        "has_second_factor": has_second_factor(user.id),
    }
    return render(request, "tenants/account.html", context)
