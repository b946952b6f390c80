"""The organization's audit log: searching it, and taking it away."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, time, timedelta
from typing import Any
from uuid import UUID

from django import forms
from django.http import HttpResponse, HttpResponseBase, StreamingHttpResponse
from django.shortcuts import render
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_safe

from tenants.days import DayField
from tenants.queries.audit import AuditSearch, every_event, export_line
from tenants.queries.audit import audit_events as found_events
from tenants.queries.audit_chain import chain_of, last_check
from tenants.views.access import ConsoleRequest, console_page
from tenants.views.audit_words import ACTIONS, changes, words_of
from tenants.views.downloads import csv_response

PAGE = 50
CSV_COLUMNS = (
    "sequence",
    "created_at",
    "actor_kind",
    "actor_name",
    "actor_id",
    "action",
    "target_kind",
    "target_id",
    "before",
    "after",
    "reason",
    "ip",
    "user_agent",
    "session",
    "request_id",
    "id",
    "hash",
)


class AuditFilter(forms.Form):
    """What of the log is shown. Days are UTC; both ends are included."""

    q = forms.CharField(label=_("Text"), required=False, max_length=200)
    action = forms.ChoiceField(label=_("What"), required=False)
    since = DayField(label=_("From"), required=False)
    until = DayField(label=_("To"), required=False)
    actor = forms.UUIDField(required=False, widget=forms.HiddenInput)
    target = forms.UUIDField(required=False, widget=forms.HiddenInput)
    cursor = forms.UUIDField(required=False, widget=forms.HiddenInput)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["q"].widget.input_type = "search"
        self.fields["action"].choices = [("", _("Everything")), *ACTIONS.items()]  # type: ignore[attr-defined]

    def search(self) -> AuditSearch:
        """Return what is looked for; what is not valid is left out."""
        self.is_valid()
        chosen: dict[str, Any] = getattr(self, "cleaned_data", {})
        since, until = chosen.get("since"), chosen.get("until")
        return AuditSearch(
            action=chosen.get("action") or "",
            actor_id=chosen.get("actor"),
            target_id=chosen.get("target"),
            since=datetime.combine(since, time(), UTC) if since else None,
            until=datetime.combine(until + timedelta(days=1), time(), UTC) if until else None,
            text=chosen.get("q") or "",
        )

    def page_after(self) -> UUID | None:
        """Return where the page before ended, once `search` has read the form."""
        return getattr(self, "cleaned_data", {}).get("cursor")


@console_page("audit.view")
@require_safe
def audit_events(request: ConsoleRequest) -> HttpResponse:
    """Show who did what, newest first, 50 a page (`?q=&action=&actor=&target=&since=&until=&cursor=`)."""
    form = AuditFilter(request.GET or None)
    search = form.search()
    found = found_events(request.organization.id, search)
    cursor = form.page_after()
    events = list((found.filter(id__lt=cursor) if cursor else found)[: PAGE + 1])
    context = {
        "form": form,
        "filtered": bool(search),
        "rows": [{"event": event, "words": words_of(event), "changes": changes(event)} for event in events[:PAGE]],
        "next_cursor": events[PAGE - 1].id if len(events) > PAGE else None,
        "first": cursor is None,
        "check": last_check(request.organization.id),
        "chain": chain_of(request.organization.id),
    }
    return render(request, "tenants/audit_events.html", context)


@console_page("audit.view")
@require_safe
def audit_events_csv(request: ConsoleRequest) -> HttpResponseBase:
    """Stream the log as CSV, with the filters of the page."""
    rows = _csv_rows(request.organization.id, AuditFilter(request.GET or None).search())
    return csv_response(f"audit-{request.organization.slug}.csv", rows)


@console_page("audit.view")
@require_safe
def audit_events_jsonl(request: ConsoleRequest) -> HttpResponseBase:
    """Stream the log as JSON lines that can be verified without us, with the filters of the page."""
    search = AuditFilter(request.GET or None).search()
    lines = (f"{json.dumps(export_line(event))}\n" for event in every_event(request.organization.id, search))
    headers = {"Content-Disposition": f'attachment; filename="audit-{request.organization.slug}.jsonl"'}
    return StreamingHttpResponse(lines, content_type="application/x-ndjson", headers=headers)


def _csv_rows(organization_id: UUID, search: AuditSearch) -> Iterator[Sequence[Any]]:
    yield CSV_COLUMNS
    for event in every_event(organization_id, search):
        line = export_line(event)
        for name in ("before", "after"):
            line[name] = "" if line[name] is None else json.dumps(line[name], ensure_ascii=False)
        yield [line[name] for name in CSV_COLUMNS]
