"""Who and what the Tokens went to, and when: usage by any two of its dimensions, as a chart, a table and a file."""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from django import forms
from django.http import HttpResponse, HttpResponseBase
from django.shortcuts import render
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_safe

from billing.models import SubToken
from billing.queries.usage import captured_between
from billing.views.sub_tokens import decimal
from detection.models import Model
from detection.queries.usage import MAX_ROWS, TAG, Narrowed, Span, UsageRow, span, summed, usage
from detection.views.usage_charts import TIMES, group_name, usage_chart
from tenants.days import DayField
from tenants.models import Team
from tenants.named import NamedRowField
from tenants.scope import organization_scope
from tenants.views.access import ConsoleRequest, console_page
from tenants.views.downloads import csv_response

DAYS, LONGEST_DAYS, LONGEST_HOURLY_DAYS = 30, 400, 31
SHOWN = 100
_TAG_NAME = re.compile(r"[A-Za-z0-9_.:-]{1,40}", re.ASCII)

DIMENSIONS = [
    ("day", _("Day")),
    ("hour", _("Hour")),
    ("month", _("Month")),
    ("team", _("Team")),
    ("sub_token", _("Sub-token")),
    ("model", _("Model")),
    ("task", _("Task")),
    ("tag", _("Tag")),
]


class UsageFilter(forms.Form):
    """What of the usage is shown, and by what. Days are UTC; both ends are included."""

    by = forms.ChoiceField(label=_("Group by"), required=False, choices=DIMENSIONS)
    also = forms.ChoiceField(label=_("Then by"), required=False, choices=[("", _("Nothing else")), *DIMENSIONS])
    tag = forms.CharField(
        label=_("With the tag"), required=False, max_length=40, widget=forms.TextInput(attrs={"placeholder": _("any")})
    )
    since = DayField(label=_("From"), required=False)
    until = DayField(label=_("To"), required=False)
    team = forms.ModelChoiceField(
        label=_("Team"), required=False, queryset=Team.objects.order_by("name"), empty_label=_("All")
    )
    sub_token = NamedRowField(SubToken.objects.all(), label=_("Sub-token"), required=False)
    model = forms.ModelChoiceField(
        label=_("Model"), required=False, queryset=Model.objects.order_by("name"), to_field_name="name",
        empty_label=_("All"),
    )  # fmt: skip

    def clean_tag(self) -> str:
        """Refuse what no tag is called."""
        name: str = self.cleaned_data["tag"]
        if name and not _TAG_NAME.fullmatch(name):
            raise forms.ValidationError(_("A tag's name has letters, digits and _ . : - only."))
        return name

    def clean(self) -> dict[str, Any]:
        """Refuse ranges that are upside down or too long, and what is not kept together."""
        chosen: dict[str, Any] = super().clean() or {}
        now = timezone.now()
        until = chosen.get("until") or now.astimezone(UTC).date()
        since = chosen.get("since") or until - timedelta(days=DAYS - 1)
        by = [name for name in (chosen.get("by") or "day", chosen.get("also")) if name]
        longest = LONGEST_HOURLY_DAYS if "hour" in by else LONGEST_DAYS
        if not since <= until < since + timedelta(days=longest):
            self.add_error("since", _("This must be before the end, by at most %(days)s days.") % {"days": longest})
        if len(set(by)) < len(by):
            self.add_error("also", _("Choose another one here."))
        if {"hour", "tag"} <= set(by):
            self.add_error("also", _("Tags are kept by the day, not by the hour."))
        return chosen | {"since": since, "until": until, "by": by}


@console_page("calls.view")
@require_safe
def usage_page(request: ConsoleRequest) -> HttpResponse:
    """Show usage (`?by=&also=&tag=&since=&until=&team=&sub_token=&model=`): day by day of the last 30 unless told."""
    form = UsageFilter(request.GET)
    context: dict[str, Any] = {"form": form, "shown": SHOWN}
    if form.is_valid():
        context |= _report(request.organization.id, form.cleaned_data)
    return render(request, "detection/usage.html", context)


@console_page("calls.view")
@require_safe
def usage_csv(request: ConsoleRequest) -> HttpResponseBase:
    """Download usage as CSV, with the choices of the page; what is not valid is as if it had not been chosen."""
    form = UsageFilter(request.GET)
    chosen = form.cleaned_data if form.is_valid() else _defaults()
    return csv_response(f"usage-{request.organization.slug}.csv", _csv_rows(request.organization.id, chosen))


def _defaults() -> dict[str, Any]:
    form = UsageFilter({})
    form.is_valid()
    return form.cleaned_data


def _report(organization_id: uuid.UUID, chosen: dict[str, Any]) -> dict[str, Any]:
    group_by, within, only = _asked(chosen)
    rows = usage(organization_id, within=within, group_by=group_by, only=only)
    # The rows add up to the whole, unless calls stand in several of them or some were left out.
    whole = "tag" not in group_by and len(rows) < MAX_ROWS
    total = summed(rows) if whole else usage(organization_id, within=within, only=only)[0]
    everything = only == Narrowed()
    return {
        "chart": usage_chart(rows, group_by, within),
        "columns": [label for name, label in DIMENSIONS for by in group_by if by.partition(":")[0] == name],
        "rows": [(_cells(row, group_by), row) for row in _ranked(rows, group_by)[:SHOWN]],
        "count": len(rows),
        "total": total,
        "percent_succeeded": round(100 * total.succeeded / total.calls, 1) if total.calls else None,
        "captured_mtok": captured_between(organization_id, within.first, within.end) if everything else None,
        "overlapping": "tag" in group_by,
    }


def _asked(chosen: dict[str, Any]) -> tuple[list[str], Span, Narrowed]:
    """Return the dimensions, the span and what it is narrowed to."""
    group_by = [f"{TAG}{chosen['tag']}" if name == "tag" and chosen.get("tag") else name for name in chosen["by"]]
    since = datetime.combine(chosen["since"], time(), UTC)
    until = datetime.combine(chosen["until"] + timedelta(days=1), time(), UTC)
    # Pages show whole days, in which the hours are all there.
    within = span(since, until, now=timezone.now(), whole_days=True)
    only = Narrowed(
        sub_token_id=chosen["sub_token"].id if chosen.get("sub_token") else None,
        team_id=chosen["team"].id if chosen.get("team") else None,
        model=chosen["model"].name if chosen.get("model") else None,
    )
    return group_by, within, only


def _ranked(rows: Sequence[UsageRow], group_by: Sequence[str]) -> list[UsageRow]:
    """Return rows the latest first, or the dearest first where no time is among the groups."""
    if group_by[0] in TIMES:
        return list(reversed(rows))
    return sorted(rows, key=lambda row: (-row.charged_mtok, -row.calls))


def _cells(row: UsageRow, group_by: Sequence[str]) -> list[str]:
    return [group_name(name, row.group[name]) for name in group_by]


def _csv_rows(organization_id: uuid.UUID, chosen: dict[str, Any]) -> Iterator[Sequence[Any]]:
    group_by, within, only = _asked(chosen)
    yield [*group_by, "calls", "succeeded", "failed", "cached", "tokens"]
    with organization_scope(organization_id):
        rows = usage(organization_id, within=within, group_by=group_by, only=only, limit=10 * MAX_ROWS)
    for row in rows:
        cells = [_plain(row.group[name]) for name in group_by]
        yield [*cells, row.calls, row.succeeded, row.failed, row.cached, decimal(row.charged_mtok)]


def _plain(value: Any) -> Any:
    match value:
        case {"name": name}:
            return name
        case datetime() | date():
            return value.isoformat()
        case _:
            return value
