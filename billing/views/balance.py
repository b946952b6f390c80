"""The balance in the top bar, asked for again and again."""

from __future__ import annotations

from django.http import HttpResponse
from django.shortcuts import render
from django.utils import timezone

from billing.queries.burn import Standing, standing
from tenants.views.access import ConsoleRequest, console_page


def standing_of(request: ConsoleRequest) -> Standing:
    """Return where the organization stands, looked up once for a request: the page and the pill above it agree."""
    found: Standing | None = getattr(request, "standing", None)
    if found is None:
        found = standing(request.organization.id, timezone.now())
        request.standing = found  # type: ignore[attr-defined]
    return found


@console_page("organization.view")
def balance_pill(request: ConsoleRequest) -> HttpResponse:
    """Return the pill as a fragment."""
    context = {"balance": standing_of(request), "organization": request.organization}
    return render(request, "billing/balance_pill.html", context)
