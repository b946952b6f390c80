"""Where a person is signed in, and signing out there."""

from __future__ import annotations

from typing import cast

from allauth.usersessions.internal.flows.sessions import end_sessions
from allauth.usersessions.models import UserSession
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.http import require_POST, require_safe

from tenants.client_ip import client_ip
from tenants.models import User
from tenants.services.personal import record_personal
from tenants.user_agents import browser_of


@login_required
@require_safe
def sessions(request: HttpRequest) -> HttpResponse:
    """List the person's sessions, the one that asks first."""
    rows = sorted(
        UserSession.objects.purge_and_list(request.user),
        key=lambda session: (session.is_current(), session.last_seen_at),
        reverse=True,
    )
    context = {
        "rows": [{"session": row, "browser": browser_of(row.user_agent), "here": row.is_current()} for row in rows]
    }
    return render(request, "tenants/sessions.html", context)


@login_required
@require_POST
def sessions_end(request: HttpRequest) -> HttpResponse:
    """Sign out one session of the person (`session`, its number), or all but this one (`others`)."""
    user = cast(User, request.user)
    mine = UserSession.objects.filter(user=user)
    if "others" in request.POST:
        ending = [session for session in mine if not session.is_current()]
    else:
        number = request.POST.get("session", "")
        ending = list(mine.filter(id=int(number))) if number.isascii() and number.isdigit() and len(number) < 18 else []
        if not ending:
            raise Http404
    here = any(session.is_current() for session in ending)
    if ending and not here:
        record_personal(
            user=user,
            action="person.sessions_ended",
            ip=client_ip(request),
            now=timezone.now(),
            after={"sessions": len(ending)},
        )
    end_sessions(request, ending)
    if here:
        return redirect("account_login")
    said = ngettext("Signed out in %(n)d place.", "Signed out in %(n)d places.", len(ending)) % {"n": len(ending)}
    messages.success(request, said if ending else _("You are signed in here only."))
    return redirect("sessions")
