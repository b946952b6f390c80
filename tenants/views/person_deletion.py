"""Deleting one's own account."""

from __future__ import annotations

from typing import cast

from allauth.account.decorators import reauthentication_required
from django.contrib import messages
from django.contrib.auth import logout
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods

from tenants.client_ip import client_ip
from tenants.errors import LastOwner
from tenants.models import User
from tenants.queries.memberships import memberships_of
from tenants.services.leaving import delete_person, owned_alone


@login_required
@reauthentication_required(allow_get=True)
@require_http_methods(["GET", "HEAD", "POST"])
def account_delete(request: HttpRequest) -> HttpResponse:
    """Delete the account, once its mail address was typed. Asks who it is once more."""
    user = cast(User, request.user)
    if request.method == "POST":
        if request.POST.get("confirm_name", "").strip().lower() != user.email:
            messages.error(request, _("The address did not match, so nothing is deleted."))
            return redirect("account_delete")
        try:
            delete_person(user=user, ip=client_ip(request), now=timezone.now())
        except LastOwner:
            return redirect("account_delete")
        logout(request)
        messages.success(request, _("Your account is deleted."))
        return redirect("landing")
    context = {"alone": owned_alone(user), "memberships": memberships_of(user.id)}
    return render(request, "tenants/account_delete.html", context)
