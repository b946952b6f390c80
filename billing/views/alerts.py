"""The inbox of alerts, and what the organization wants to be told of."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Sequence
from typing import Any

from django.contrib import messages
from django.http import Http404, HttpResponse, HttpResponseBase
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from billing.alert_forms import AlertFilter, AlertSettingsForm, MuteForm
from billing.alert_words import words
from billing.errors import AlertSettingsInvalid
from billing.models import Alert
from billing.queries.alerts import alerts_for, unread_count
from billing.services.alert_inbox import mark_all_read, mark_read
from billing.services.alert_preferences import mute
from billing.services.alert_settings import change_settings, settings_of
from billing.services.alerts import told_alert
from tenants.models import Organization
from tenants.permissions import Permission
from tenants.scope import organization_scope
from tenants.views.access import ConsoleRequest, actor_of, console_page
from tenants.views.downloads import csv_response

PAGE = 25
CSV_BATCH = 500


@console_page("alerts.view")
@require_safe
def alerts(request: ConsoleRequest) -> HttpResponse:
    """Show the alerts, latest first, 25 a page (`?show=mine|unread|all&rule=&cursor=`)."""
    form = AlertFilter(request.GET or None)
    criteria = form.criteria()
    cursor = form.cleaned_data.get("cursor") if form.is_bound and form.is_valid() else None
    found = alerts_for(request.user.id, **criteria)
    rows = list((found.filter(id__lt=cursor) if cursor else found)[: PAGE + 1])
    context = {
        "form": form,
        "filtered": criteria != {"show": "mine", "rule": ""},
        "rows": [{"alert": alert, "told": told_alert(alert, request.organization)} for alert in rows[:PAGE]],
        "next_cursor": rows[PAGE - 1].id if len(rows) > PAGE else None,
        "first": not cursor,
        "unread": unread_count(request.user.id),
        "may_manage": Permission.ALERTS_MANAGE in request.permissions,
    }
    return render(request, "billing/alerts.html", context)


@console_page("alerts.view")
@require_safe
def alerts_csv(request: ConsoleRequest) -> HttpResponseBase:
    """Stream the alerts as CSV, with the filters of the page."""
    criteria = AlertFilter(request.GET or None).criteria()
    rows = _csv_rows(request.organization, request.user.id, criteria)
    return csv_response(f"alerts-{request.organization.slug}.csv", rows)


@console_page("alerts.view")
@require_safe
def alert_bell(request: ConsoleRequest) -> HttpResponse:
    """Return the bell of the top bar, with how many alerts are not read."""
    context = {"unread": unread_count(request.user.id), "organization": request.organization}
    return render(request, "billing/alert_bell.html", context)


@console_page("alerts.view")
@require_POST
def alert_read(request: ConsoleRequest, alert_id: uuid.UUID) -> HttpResponse:
    """Mark an alert of one's inbox as read, or (`unread=1`) as not read."""
    read = not request.POST.get("unread")
    if not mark_read(user_id=request.user.id, alert_id=alert_id, read=read, now=timezone.now()):
        raise Http404
    return _back(request)


@console_page("alerts.view")
@require_POST
def alerts_read_all(request: ConsoleRequest) -> HttpResponse:
    """Mark everything in one's inbox as read."""
    count = mark_all_read(user_id=request.user.id, now=timezone.now())
    messages.success(
        request,
        ngettext("%(count)s alert marked as read.", "%(count)s alerts marked as read.", count) % {"count": count},
    )
    return _back(request)


@console_page("alerts.view")
@require_POST
def alert_mute(request: ConsoleRequest, alert_id: uuid.UUID) -> HttpResponse:
    """Tell the member nothing more of this kind about this subject for some `days` (1, 7 or 30)."""
    alert = Alert.objects.filter(id=alert_id).first()
    if alert is None:
        raise Http404
    form = MuteForm(request.POST)
    if form.is_valid():
        now = timezone.now()
        until = form.until(now)
        mute(
            member=request.membership,
            rule=alert.rule,
            subject_id=alert.subject_id,
            subject_name=alert.subject_name,
            until=until,
            actor=actor_of(request),
            now=now,
        )
        said = _("You will not hear of this until %(day)s. Your mutes are listed under “My notifications”.")
        messages.success(request, said % {"day": date_format(timezone.localtime(until), "DATE_FORMAT")})
    return _back(request)


@console_page("alerts.manage")
@require_http_methods(["GET", "HEAD", "POST"])
def alert_settings(request: ConsoleRequest) -> HttpResponse:
    """Change the levels and other rules of the whole organization."""
    form = AlertSettingsForm(request.POST or None, settings=settings_of(request.organization.id))
    if request.method == "POST" and form.is_valid():
        try:
            change_settings(
                organization_id=request.organization.id,
                levels=form.cleaned_data["levels"],
                error_run=form.cleaned_data["error_run"],
                burn_score=form.cleaned_data["burn_score"],
                rules_off=form.rules_off(),
                actor=actor_of(request),
                now=timezone.now(),
            )
        except AlertSettingsInvalid as error:
            form.add_error(error.field if error.field in form.fields else None, _("This is out of its range."))
        else:
            messages.success(request, _("Saved."))
            return redirect("alert_settings", request.organization.slug)
    return render(request, "billing/alert_settings.html", {"form": form})


def _back(request: ConsoleRequest) -> HttpResponse:
    """Go back to the list as it was filtered."""
    came_from = request.POST.get("next", "")
    if url_has_allowed_host_and_scheme(came_from, allowed_hosts=None):
        return redirect(came_from)
    return redirect("alerts", request.organization.slug)


def _read_at(alert: Alert) -> str:
    read_at = getattr(alert, "read_at", None)  # `alerts_for` adds it
    return read_at.isoformat() if read_at else ""


def _csv_rows(organization: Organization, user_id: uuid.UUID, criteria: dict[str, str]) -> Iterator[Sequence[Any]]:
    yield ["time", "alert", "rule", "level", "severity", "subject_kind", "subject", "what", "read"]
    cursor: uuid.UUID | None = None
    while True:
        with organization_scope(organization.id):
            found = alerts_for(user_id, **criteria)
            rows = list((found.filter(id__lt=cursor) if cursor else found)[:CSV_BATCH])
        for alert in rows:
            said = words(**told_alert(alert, organization))
            yield [
                alert.created_at.isoformat(),
                alert.id,
                alert.rule,
                alert.level if alert.level is not None else "",
                alert.severity,
                alert.subject_kind,
                alert.subject_name,
                f"{said.title}. {said.happened}",
                _read_at(alert),
            ]
        if len(rows) < CSV_BATCH:
            return
        cursor = rows[-1].id
