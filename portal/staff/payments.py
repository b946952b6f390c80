"""The staff's pages about payments: what Stripe told, what did not work, and how both sides compare."""

from __future__ import annotations

import json
import uuid
from datetime import datetime
from typing import Any

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_safe

from billing.gateways.stripe import payments_enabled
from billing.gateways.stripe.events import without_client_secrets
from billing.models import StripeEvent
from billing.services.stripe_events import run_again
from portal.staff import queries
from portal.staff.forms import EventFilter, ReasonForm
from portal.staff.navigation import links_of
from tenants.secrets import without_secrets
from tenants.views.access import with_own_eyes
from tenants.views.staff_access import staff_actor_of, staff_page

PAGE = queries.PAGE
# Who paid is the customer's business: to find out what went wrong, staff need none of it.
PERSONAL = ("customer_", "billing_details", "receipt_email", "email", "phone", "address", "shipping")


@never_cache
@staff_page
@require_safe
def payments(request: HttpRequest) -> HttpResponse:
    """Show what wants a person: payments that are not as ordered, failed events, and the last reconciliations."""
    context = {
        "enabled": payments_enabled(),
        "alarms": queries.alarmed_payments(),
        "failed": queries.failed_event_count(),
        "runs": queries.reconciliations(),
    }
    return _page(request, "staff/payments.html", context)


@never_cache
@staff_page
@require_safe
def events(request: HttpRequest) -> HttpResponse:
    """List what Stripe told, newest first (`?status=&cursor=`)."""
    form = EventFilter(request.GET or None)
    chosen: dict[str, Any] = form.cleaned_data if form.is_bound and form.is_valid() else {}
    cursor = chosen.get("cursor")
    rows = queries.stripe_events(status=chosen.get("status", ""), before=cursor, limit=PAGE + 1)
    context = {
        "form": form,
        "rows": rows[:PAGE],
        "next_cursor": rows[PAGE - 1].id if len(rows) > PAGE else None,
        "first": cursor is None,
    }
    return _page(request, "staff/events.html", context)


@never_cache
@staff_page
@with_own_eyes
@require_http_methods(["GET", "HEAD", "POST"])
def event(request: HttpRequest, event_id: uuid.UUID) -> HttpResponse:
    """Show an event, and have it processed again for a reason."""
    found = queries.stripe_event(event_id)
    if found is None:
        raise Http404
    form = ReasonForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        again = run_again(
            event_id=event_id,
            reason=form.cleaned_data["reason"],
            key=str(form.cleaned_data["key"]),
            actor=staff_actor_of(request),
            now=timezone.now(),
        )
        if again:
            messages.success(request, _("It is processed again in a moment."))
        else:
            messages.info(request, _("It was processed already, or this form was sent before."))
        return redirect("staff_event", event_id)
    acts = [{**act, "at": datetime.fromisoformat(act["at"])} for act in found.acts]
    return _page(request, "staff/event.html", {"event": found, "acts": acts, "form": form, "payload": _shown(found)})


def _shown(found: StripeEvent) -> str:
    safe = without_secrets(without_client_secrets(_impersonal(found.payload)))
    return json.dumps(safe, indent=2, sort_keys=True, ensure_ascii=False)


def _impersonal(value: Any) -> Any:
    """Return an event's JSON without names, addresses and tax ids of who paid."""
    if isinstance(value, dict):
        return {name: "…" if item and name.startswith(PERSONAL) else _impersonal(item) for name, item in value.items()}
    return [_impersonal(item) for item in value] if isinstance(value, list) else value


def _page(request: HttpRequest, template: str, context: dict[str, Any]) -> HttpResponse:
    return render(request, template, {"links": links_of(request), "organization": None, **context})
