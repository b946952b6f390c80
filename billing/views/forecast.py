"""When the Tokens of each account run out, the soonest first."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Sequence
from datetime import date
from typing import Any

from django import forms
from django.http import HttpResponse, HttpResponseBase
from django.shortcuts import render
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_safe

from billing.enums import SPENDING_KINDS
from billing.models import Account
from billing.queries.forecast import Forecast, forecasts, organization_forecast
from billing.views.sub_tokens import decimal
from tenants.scope import organization_scope
from tenants.views.access import ConsoleRequest, console_page
from tenants.views.downloads import csv_response

SHOWN = 100


class ForecastFilter(forms.Form):
    """Whose forecasts are shown."""

    kind = forms.ChoiceField(
        label=_("Kind"),
        required=False,
        choices=[("", _("All")), *((kind.value, kind.label) for kind in SPENDING_KINDS)],
    )
    q = forms.CharField(label=_("Name"), required=False, max_length=120)

    def forecasts(self) -> list[tuple[Account, Forecast]]:
        """Return open accounts with their forecasts, the soonest first; what is not valid filters nothing."""
        chosen: dict[str, Any] = self.cleaned_data if self.is_bound and self.is_valid() else {}
        found = Account.objects.filter(kind__in=SPENDING_KINDS, closed_at__isnull=True).order_by("id")
        if chosen.get("kind"):
            found = found.filter(kind=chosen["kind"])
        if chosen.get("q"):
            found = found.filter(label__icontains=chosen["q"])
        ahead = forecasts([account.id for account in found], now=timezone.now())
        rows = [(account, ahead[account.id]) for account in found if account.id in ahead]
        return sorted(rows, key=lambda row: (row[1].runs_out_on or date.max, -row[1].burn_per_day_mtok))


@console_page("grants.view")
@require_safe
def forecast_page(request: ConsoleRequest) -> HttpResponse:
    """Show when each account runs out (`?kind=&q=`)."""
    form = ForecastFilter(request.GET or None)
    rows = form.forecasts()
    context = {
        "form": form,
        "filtered": form.is_bound and any(form.cleaned_data.values()),
        "rows": rows[:SHOWN],
        "count": len(rows),
        "shown": SHOWN,
        "whole": organization_forecast(request.organization.id, now=timezone.now()),
        "today": timezone.now().date(),
    }
    return render(request, "billing/forecast.html", context)


@console_page("grants.view")
@require_safe
def forecast_csv(request: ConsoleRequest) -> HttpResponseBase:
    """Download the forecasts as CSV, with the filters of the page."""
    rows = _csv_rows(request.organization.id, ForecastFilter(request.GET or None))
    return csv_response(f"forecast-{request.organization.slug}.csv", rows)


def _csv_rows(organization_id: uuid.UUID, form: ForecastFilter) -> Iterator[Sequence[Any]]:
    yield ["account", "kind", "available", "burn_per_day", "basis_days", "runs_out_on", "expiring"]
    with organization_scope(organization_id):
        rows = form.forecasts()
    for account, ahead in rows:
        yield [
            str(account),
            account.kind,
            decimal(ahead.available_mtok),
            decimal(ahead.burn_per_day_mtok),
            ahead.basis_days,
            ahead.runs_out_on or "",
            decimal(ahead.expiring_mtok),
        ]
