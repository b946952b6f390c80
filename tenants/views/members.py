"""Who belongs to the organization, and as what."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any
from uuid import UUID

from django.contrib import messages
from django.http import Http404, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from tenants.errors import NotFound, TenantsError
from tenants.forms import MemberFilter, RoleForm
from tenants.models import Membership, Role
from tenants.queries.invitations import invitations
from tenants.queries.memberships import is_last_owner
from tenants.queries.memberships import members as all_members
from tenants.scope import organization_scope
from tenants.services.memberships import change_role, remove_member
from tenants.views.access import ConsoleRequest, actor_of, console_page
from tenants.views.downloads import csv_response

CSV_COLUMNS = ("id", "email", "name", "role", "since")


@console_page("members.view")
@require_safe
def members(request: ConsoleRequest) -> HttpResponse:
    """List the members with their roles (`?q=&role=`), and the invitations that wait for an answer."""
    form, now = MemberFilter(request.GET or None), timezone.now()
    wanted = form.wanted()
    by_owner = request.membership.role == Role.OWNER
    manages = "members.manage" in request.permissions
    rows = [
        {
            "membership": membership,
            "dialog": f"remove-{membership.id}",
            "form": RoleForm(by_owner=by_owner, initial={"role": membership.role}, auto_id=f"{membership.id}-%s")
            if manages and (by_owner or membership.role != Role.OWNER)
            else None,
        }
        for membership in all_members(**wanted)
    ]
    context = {
        "form": form,
        "filtered": bool(wanted),
        "rows": rows,
        "invitations": [(invitation, invitation.status_at(now)) for invitation in invitations()],
        "manages": manages,
    }
    return render(request, "tenants/members.html", context)


@console_page("members.view")
@require_safe
def members_csv(request: ConsoleRequest) -> HttpResponseBase:
    """Download the members as CSV, with the filters of the list."""
    wanted = MemberFilter(request.GET or None).wanted()
    return csv_response(f"members-{request.organization.slug}.csv", _csv_rows(request.organization.id, wanted))


@console_page("organization.view")
@require_http_methods(["GET", "HEAD", "POST"])
def leave(request: ConsoleRequest) -> HttpResponse:
    """Let a member leave the organization, once its name was typed to confirm it."""
    if request.method == "POST":
        if request.POST.get("confirm_name", "").strip() != request.organization.name.strip():
            messages.error(request, _("The name did not match, so you are still a member."))
            return redirect("leave", request.organization.slug)
        try:
            remove_member(
                membership_id=request.membership.id, actor=actor_of(request), now=timezone.now(), action="member.left"
            )
        except TenantsError as error:
            messages.error(request, str(error))
            return redirect("leave", request.organization.slug)
        messages.success(request, _("You have left %(organization)s.") % {"organization": request.organization})
        return redirect("home")
    return render(request, "tenants/leave.html", {"alone": is_last_owner(request.membership)})


@console_page("members.manage")
@require_POST
def member_role(request: ConsoleRequest, membership_id: UUID) -> HttpResponse:
    """Give a member another role."""
    form = RoleForm(request.POST, by_owner=request.membership.role == Role.OWNER)
    if form.is_valid():
        try:
            membership = change_role(
                membership_id=membership_id, role=form.cleaned_data["role"], actor=actor_of(request), now=timezone.now()
            )
        except NotFound as error:
            raise Http404 from error
        except TenantsError as error:
            messages.error(request, str(error))
        else:
            role = membership.get_role_display()
            messages.success(request, _("%(member)s is now: %(role)s.") % {"member": membership.user, "role": role})
    else:
        messages.error(request, _("Choose one of the roles."))
    return redirect("members", request.organization.slug)


@console_page("members.manage")
@require_POST
def member_remove(request: ConsoleRequest, membership_id: UUID) -> HttpResponse:
    """Take a member out, once their mail address was typed to confirm it."""
    membership = Membership.objects.select_related("user").filter(id=membership_id).first()
    if membership is None:
        raise Http404
    if request.POST.get("confirm_name", "").strip() != membership.user.email:
        messages.error(request, _("The name did not match, so nobody was removed."))
        return redirect("members", request.organization.slug)
    try:
        remove_member(membership_id=membership_id, actor=actor_of(request), now=timezone.now())
    except NotFound as error:
        raise Http404 from error
    except TenantsError as error:
        messages.error(request, str(error))
    else:
        messages.success(request, _("%(member)s is no longer a member.") % {"member": membership.user})
        if membership.user_id == request.user.id:
            return redirect("home")
    return redirect("members", request.organization.slug)


def _csv_rows(organization_id: UUID, wanted: dict[str, str]) -> Iterator[Sequence[Any]]:
    yield CSV_COLUMNS
    with organization_scope(organization_id):
        rows = all_members(**wanted)
    for row in rows:
        yield [row.id, row.user.email, row.user.name, row.role, row.created_at.isoformat()]
