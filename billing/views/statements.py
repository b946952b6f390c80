"""Month-end statements of an organization and of its teams: on the page, as CSV and as PDF."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Any

from django import forms
from django.http import HttpResponse, HttpResponseBase
from django.shortcuts import render
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext
from django.views.decorators.http import require_safe

from billing.errors import StatementOff
from billing.queries.statements import Statement, last_month, read_month, statement
from billing.statement_files import line_name, statement_pdf, statement_rows
from tenants.models import Organization, Team
from tenants.views.access import ConsoleRequest, console_page
from tenants.views.downloads import csv_response

MONTHS = 24


class StatementFilter(forms.Form):
    """Which statement is shown."""

    month = forms.ChoiceField(label=_("Month"), required=False)
    team = forms.ModelChoiceField(
        label=_("Of"), required=False, queryset=Team.objects.order_by("name"), empty_label=_("The organization")
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["month"].choices = _months(timezone.now())  # type: ignore[attr-defined]

    def statement(self, organization: Organization) -> Statement:
        """Return the statement that is asked for: last month's of the organization where nothing valid is."""
        chosen: dict[str, Any] = self.cleaned_data if self.is_valid() else {}
        team = chosen.get("team")
        now = timezone.now()
        return statement(
            organization.id,
            organization=organization.name,
            month=read_month(chosen["month"]) if chosen.get("month") else last_month(now),
            team_id=team.id if team else None,
            team=team.name if team else None,
            now=now,
        )


def _months(now: datetime) -> list[tuple[str, str]]:
    """Return the months to choose from, the last one that is over first, then the one under way, then older ones."""
    found = [last_month(now)]
    for _number in range(MONTHS - 1):
        found.append((found[-1] - timedelta(days=1)).replace(day=1))
    found.insert(1, now.astimezone(UTC).date().replace(day=1))
    # Translators: how a statement names its month, in Django's date format; "F Y" is "October 2026".
    return [(f"{month:%Y-%m}", date_format(month, pgettext("month of a statement", "F Y"))) for month in found]


@console_page("ledger.view")
@require_safe
def statement_page(request: ConsoleRequest) -> HttpResponse:
    """Show a month's statement (`?month=2026-10&team=`); one that does not reconcile says so and shows no amounts."""
    form = StatementFilter(request.GET or {"month": f"{last_month(timezone.now()):%Y-%m}"})
    found = form.statement(request.organization)
    context = {
        "form": form,
        "statement": found,
        "lines": [(line_name(line.kind), line) for line in found.lines],
        "differences": found.differences,
    }
    return render(request, "billing/statement.html", context, status=409 if found.differences else 200)


@console_page("ledger.view")
@require_safe
def statement_csv_file(request: ConsoleRequest) -> HttpResponseBase:
    """Download a month's statement as CSV; 409 and the page that says why where it does not reconcile."""
    found = StatementFilter(request.GET).statement(request.organization)
    try:
        rows = list(statement_rows(found))
    except StatementOff:
        return statement_page.__wrapped__(request)  # type: ignore[attr-defined]
    return csv_response(f"{_name(request, found)}.csv", rows)


@console_page("ledger.view")
@require_safe
def statement_pdf_file(request: ConsoleRequest) -> HttpResponseBase:
    """Download a month's statement as PDF; 409 and the page that says why where it does not reconcile."""
    found = StatementFilter(request.GET).statement(request.organization)
    try:
        content = statement_pdf(found)
    except StatementOff:
        return statement_page.__wrapped__(request)  # type: ignore[attr-defined]
    headers = {"Content-Disposition": f'attachment; filename="{_name(request, found)}.pdf"'}
    return HttpResponse(content, content_type="application/pdf", headers=headers)


def _name(request: ConsoleRequest, found: Statement) -> str:
    team = re.sub(r"[^A-Za-z0-9]+", "-", found.team or "").strip("-").lower()
    return "-".join(["statement", request.organization.slug, *([team] if team else []), f"{found.month:%Y-%m}"])
