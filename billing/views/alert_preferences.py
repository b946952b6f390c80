"""What a member is told of, how and when."""

from __future__ import annotations

import uuid

from django.contrib import messages
from django.http import Http404, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_POST

from billing.alert_forms import PreferencesForm
from billing.errors import EndpointUnknown
from billing.services.alert_preferences import change_choice, choice_of, unmute
from tenants.views.access import ConsoleRequest, actor_of, console_page


@console_page("alerts.view")
@require_http_methods(["GET", "HEAD", "POST"])
def alert_preferences(request: ConsoleRequest) -> HttpResponse:
    """Choose what comes into one's inbox and by mail, quiet hours and the daily digest; list one's mutes."""
    choice = choice_of(request.membership, now=timezone.now())
    form = PreferencesForm(request.POST or None, choice=choice)
    if request.method == "POST" and form.is_valid():
        values = form.cleaned_data
        change_choice(
            member=request.membership,
            wanted=form.wanted(),
            quiet=(values["quiet_from"], values["quiet_until"]),
            time_zone=values["time_zone"],
            critical_passes=values["critical_passes"],
            daily_digest=values["daily_digest"],
            digest_at=values["digest_at"],
            actor=actor_of(request),
            now=timezone.now(),
        )
        messages.success(request, _("Saved."))
        return redirect("alert_preferences", request.organization.slug)
    return render(request, "billing/alert_preferences.html", {"form": form, "mutes": choice.mutes})


@console_page("alerts.view")
@require_POST
def alert_unmute(request: ConsoleRequest, mute_id: uuid.UUID) -> HttpResponse:
    """End one of one's own mutes."""
    try:
        unmute(member=request.membership, mute_id=mute_id, actor=actor_of(request), now=timezone.now())
    except EndpointUnknown as error:
        raise Http404 from error
    messages.success(request, _("Unmuted: you hear of it again."))
    return redirect("alert_preferences", request.organization.slug)
