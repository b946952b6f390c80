"""The organization's teams."""

from __future__ import annotations

from uuid import UUID

from django.contrib import messages
from django.http import Http404, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_safe

from tenants.errors import NotFound, TenantsError
from tenants.forms import TeamForm
from tenants.models import Team
from tenants.queries.teams import team_rows
from tenants.services.teams import change_team, create_team
from tenants.views.access import ConsoleRequest, actor_of, console_page


@console_page("organization.view")
@require_safe
def teams(request: ConsoleRequest) -> HttpResponse:
    """List the teams, each under the one that it is inside of."""
    return render(request, "tenants/teams.html", {"rows": team_rows()})


@console_page("teams.manage")
@require_http_methods(["GET", "HEAD", "POST"])
def team_new(request: ConsoleRequest) -> HttpResponse:
    """Make a team."""
    form = TeamForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        try:
            team = create_team(
                organization_id=request.organization.id,
                name=form.cleaned_data["name"],
                parent_id=_parent_id(form),
                actor=actor_of(request),
                now=timezone.now(),
            )
        except TenantsError as error:
            form.add_error("name", str(error))
        else:
            messages.success(request, _("The team %(team)s is made.") % {"team": team})
            return redirect("teams", request.organization.slug)
    return render(request, "tenants/team_form.html", {"form": form, "team": None})


@console_page("teams.manage")
@require_http_methods(["GET", "HEAD", "POST"])
def team_change(request: ConsoleRequest, team_id: UUID) -> HttpResponse:
    """Rename a team, or put it inside another one."""
    team = Team.objects.filter(id=team_id).first()
    if team is None:
        raise Http404
    form = TeamForm(request.POST or None, team=team)
    if request.method == "POST" and form.is_valid():
        try:
            change_team(
                team_id=team_id,
                name=form.cleaned_data["name"],
                parent_id=_parent_id(form),
                actor=actor_of(request),
                now=timezone.now(),
            )
        except NotFound as error:
            raise Http404 from error
        except TenantsError as error:
            form.add_error(None, str(error))
        else:
            messages.success(request, _("The team %(team)s is changed.") % {"team": form.cleaned_data["name"]})
            return redirect("teams", request.organization.slug)
    return render(request, "tenants/team_form.html", {"form": form, "team": team})


def _parent_id(form: TeamForm) -> UUID | None:
    parent: Team | None = form.cleaned_data["parent"]
    return parent.id if parent else None
