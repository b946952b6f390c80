"""The log of calls: every image that was sent, what it cost, and what was found."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Sequence
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
from detection.queries.catalogue import names_of
from detection.services.answers import tokens
from detection.services.jobs import cancel
from detection.views.drawing import drawing
from tenants.api.problems import Problem
from tenants.days import DayField
from tenants.permissions import Permission
from tenants.scope import organization_scope
from tenants.views.access import ConsoleRequest, actor_of, console_page
from tenants.views.downloads import csv_response

PAGE = 50
CSV_BATCH = 1000
CSV_COLUMNS = [
    "time",
    "call",
    "sub_token",
    "model",
    "version",
    "img_size",
    "status",
    "tokens",
    "cached",
    "found",
    "queue_ms",
    "inference_ms",
    "total_ms",
    "client_ip",
    "request_id",
    "error",
]


class CallFilter(forms.Form):
    """Which calls are shown. Days are UTC; both ends are included."""

    status = forms.ChoiceField(label=_("Status"), required=False, choices=[("", _("All")), *JobStatus.choices])
    model = forms.ModelChoiceField(
        label=_("Model"), required=False, queryset=Model.objects.order_by("name"), to_field_name="name",
        empty_label=_("All"),
    )  # fmt: skip
    sub_token = forms.ModelChoiceField(
        label=_("Sub-token"), required=False, queryset=SubToken.objects.order_by("name"), empty_label=_("All")
    )
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
            found = found.filter(created_at__gte=datetime.combine(chosen["since"], time(), UTC))
        if chosen.get("until"):
            found = found.filter(created_at__lt=datetime.combine(chosen["until"] + timedelta(days=1), time(), UTC))
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
    rows = list((found.filter(id__lt=cursor) if cursor else found)[: PAGE + 1])
    context = {
        "form": form,
        "filtered": form.narrows,
        "jobs": rows[:PAGE],
        "names": dict(SubToken.objects.values_list("id", "name")),
        "next_cursor": rows[PAGE - 1].id if len(rows) > PAGE else None,
        "first": not cursor,
    }
    return render(request, "detection/calls.html", context)


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
    return csv_response(f"calls-{request.organization.slug}.csv", _csv_rows(request.organization.id, form))


def _csv_rows(organization_id: uuid.UUID, form: CallFilter) -> Iterator[Sequence[Any]]:
    yield CSV_COLUMNS
    cursor: uuid.UUID | None = None
    while True:
        # The stream outlives the view and its scope, so each batch opens its own.
        with organization_scope(organization_id):
            names = dict(SubToken.objects.values_list("id", "name"))
            found = form.jobs()
            batch = list((found.filter(id__lt=cursor) if cursor else found)[:CSV_BATCH])
        for job in batch:
            model, version = names_of(job.model_version_id)
            yield [
                job.created_at.isoformat(),
                job.id,
                names.get(job.sub_token_id, job.sub_token_id),
                model,
                version,
                job.img_size,
                job.status,
                tokens(job.charged_mtok),
                job.cached,
                job.prediction_count,
                job.queue_ms,
                job.inference_ms,
                job.total_ms,
                job.client_ip,
                job.request_id,
                job.error_code,
            ]
        if len(batch) < CSV_BATCH:
            return
        cursor = batch[-1].id
