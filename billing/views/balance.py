"""The balance in the top bar, asked for again and again."""

from __future__ import annotations

from django.http import HttpResponse
from django.shortcuts import render
from django.utils import timezone

from billing.queries.burn import standing
from tenants.views.access import ConsoleRequest, console_page


@console_page("organization.view")
def balance_pill(request: ConsoleRequest) -> HttpResponse:
    """Return the pill as a fragment."""
    context = {"balance": standing(request.organization.id, timezone.now()), "organization": request.organization}
    return render(request, "billing/balance_pill.html", context)
