"""Where an organization's Tokens came from, and what is left of each grant."""

from __future__ import annotations

from django.db.models import F, Q, Sum
from django.http import HttpResponse
from django.shortcuts import render
from django.utils import timezone

from billing.models import Grant
from billing.views.balance import standing_of
from tenants.views.access import ConsoleRequest, console_page


@console_page("grants.view")
def grants(request: ConsoleRequest) -> HttpResponse:
    """Show every grant with what is left of it, in the order in which they burn."""
    now = timezone.now()
    rows = Grant.objects.annotate(
        remaining_mtok=Sum("lots__posted_mtok", default=0),
        held_mtok=Sum("lots__held_mtok", default=0),
        frozen_mtok=Sum(F("lots__posted_mtok") - F("lots__held_mtok"), filter=Q(lots__frozen=True), default=0),
        used_mtok=F("amount_mtok") - F("remaining_mtok"),
    ).order_by("priority", "expires_at", "created_at", "id")
    context = {
        "grants": rows,
        "standing": standing_of(request),
        "now": now,
    }
    return render(request, "billing/grants.html", context)
