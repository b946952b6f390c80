"""What the organization asks of its members' sign-in."""

from __future__ import annotations

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST, require_safe

from tenants.errors import TenantsError
from tenants.models import Membership
from tenants.queries.second_factor import has_second_factor, with_second_factor
from tenants.services.security import require_second_factor
from tenants.views.access import ConsoleRequest, actor_of, console_page


@console_page("organization.manage")
@require_safe
def security(request: ConsoleRequest) -> HttpResponse:
    """Show what is required, and how many members have it."""
    members = list(Membership.objects.values_list("user_id", flat=True))
    having = with_second_factor(members)
    context = {
        "members": len(members),
        "without": len(members) - len(having),
        "has_one": has_second_factor(request.user.id),
    }
    return render(request, "tenants/security.html", context)


@console_page("organization.manage")
@require_POST
def second_factor(request: ConsoleRequest) -> HttpResponse:
    """Require a second factor (`required=on`) or make it optional."""
    required = request.POST.get("required") == "on"
    try:
        require_second_factor(
            organization_id=request.organization.id,
            required=required,
            actor=actor_of(request),
            now=timezone.now(),
        )
    except TenantsError as error:
        messages.error(request, str(error))
    else:
        done = _("A second factor is required now.") if required else _("A second factor is optional now.")
        messages.success(request, done)
    return redirect("security", request.organization.slug)
