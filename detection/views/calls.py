"""The log of calls: every image that was sent, what it cost, and what was found."""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from datetime import UTC, datetime, time, timedelta
from typing import Any

from django import forms
from django.contrib import messages
from django.db.models import QuerySet
from django.http import Http404, HttpResponse, HttpResponseBase
from django.shortcuts import redirect, render
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_POST

from billing.models import SubToken
from detection.enums import JobStatus
from detection.models import Job, Model
from detection.queries.exports import call_rows
from detection.services.jobs import cancel
from detection.views.drawing import drawing
from tenants.api.problems import Problem
from tenants.days import DayField
from tenants.identifiers import first_id_at
from tenants.named import NamedRowField
from tenants.permissions import Permission
from tenants.queries.pages import TooMuchToRead, no_longer_than
from tenants.views.access import ConsoleRequest, actor_of, console_page
from tenants.views.downloads import csv_response

PAGE = 50
# What is rare among millions may take longer than anybody waits; then days have to be chosen.
LOOKED_FOR_SECONDS = 5.0


class CallFilter(forms.Form):
    """Which calls are shown. Days are UTC; both ends are included."""

    status = forms.ChoiceField(label=_("Status"), required=False, choices=[("", _("All")), *JobStatus.choices])
    model = forms.ModelChoiceField(
        label=_("Model"), required=False, queryset=Model.objects.order_by("name"), to_field_name="name",
        empty_label=_("All"),
    )  # fmt: skip
    sub_token = NamedRowField(SubToken.objects.all(), label=_("Sub-token"), required=False)
    since = DayField(label=_("From"), required=False)
    until = DayField(label=_("To"), required=False)
    cursor = forms.UUIDField(required=False, widget=forms.HiddenInput)

    def jobs(self) -> QuerySet[Job]:
        """Return the calls that fit, latest first; what is not valid filters nothing."""
        found = Job.objects.select_related("model_version__model").order_by("-id")
        chosen: dict[str, Any] = self.cleaned_data if self.is_bound and self.is_valid() else {}
        if chosen.get("status"):
            found = found.filter(status=chosen["status"])
        if chosen.get("model"):
            found = found.filter(model_version__model=chosen["model"])
        if chosen.get("sub_token"):
            found = found.filter(sub_token_id=chosen["sub_token"].id)
        if chosen.get("since"):
            since = datetime.combine(chosen["since"], time(), UTC)
            # Ids are made a moment before the rows are; the range of ids keeps other weeks' partitions closed.
            found = found.filter(created_at__gte=since, id__gte=first_id_at(since - timedelta(hours=1)))
        if chosen.get("until"):
            until = datetime.combine(chosen["until"] + timedelta(days=1), time(), UTC)
            found = found.filter(created_at__lt=until, id__lt=first_id_at(until))
        return found

    @property
    def narrows(self) -> bool:
        """Whether anything is filtered out."""
        return self.is_bound and any(value for name, value in self.cleaned_data.items() if name != "cursor")


@console_page("calls.view")
def calls(request: ConsoleRequest) -> HttpResponse:
    """Show the calls, latest first, 50 a page (`?status=&model=&sub_token=&since=&until=&cursor=`)."""
    form = CallFilter(request.GET or None)
    found = form.jobs()
    cursor = form.cleaned_data.get("cursor") if form.is_bound else None
    rows, too_much = [], False
    try:
        with no_longer_than(LOOKED_FOR_SECONDS):
            rows = list((found.filter(id__lt=cursor) if cursor else found)[: PAGE + 1])
    except TooMuchToRead:
        too_much = True
    context = {
        "form": form,
        "too_much": too_much,
        "filtered": form.narrows,
        "jobs": rows[:PAGE],
        "names": names_of_sub_tokens(rows),
        "next_cursor": rows[PAGE - 1].id if len(rows) > PAGE else None,
        "first": not cursor,
    }
    return render(request, "detection/calls.html", context)


def names_of_sub_tokens(jobs: Iterable[Job]) -> dict[uuid.UUID, str]:
    """Return the names of the sub-tokens that these calls were made with, by id."""
    return dict(SubToken.objects.filter(id__in={job.sub_token_id for job in jobs}).values_list("id", "name"))


@console_page("calls.view")
def call(request: ConsoleRequest, job_id: uuid.UUID) -> HttpResponse:
    """Show one call with its boxes; to htmx, only the result, which asks again until the call is finished."""
    job = Job.objects.select_related("model_version__model").filter(id=job_id).first()
    if job is None:
        raise Http404
    context = {
        "job": job,
        "may_cancel": job.status == JobStatus.QUEUED and Permission.SUB_TOKENS_MANAGE in request.permissions,
        "names": dict(SubToken.objects.filter(id=job.sub_token_id).values_list("id", "name")),
        "drawing": drawing(job.result or [], width=job.image_width, height=job.image_height),
    }
    return render(request, "detection/call.html", context)


@console_page("sub_tokens.manage", scoped=False)
@require_POST
def call_cancel(request: ConsoleRequest, job_id: uuid.UUID) -> HttpResponse:
    """Take a call back that no worker has yet. Not in one transaction: who waits for it is told once that is done."""
    try:
        cancel(request.organization.id, job_id, actor=actor_of(request))
    except Problem as problem:
        if problem.code == "not_found":
            raise Http404 from problem
        messages.error(request, _("It had started already, so it was not taken back."))
    else:
        messages.success(request, _("The call was taken back and costs nothing."))
    return redirect("call", request.organization.slug, job_id)


@console_page("calls.view")
def calls_csv(request: ConsoleRequest) -> HttpResponseBase:
    """Stream the calls as CSV with the filters of the page."""
    form = CallFilter(request.GET or None)
    return csv_response(f"calls-{request.organization.slug}.csv", call_rows(request.organization.id, form.jobs))
