"""The organization's webhook endpoints and what was delivered to them."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Sequence
from typing import Any

from django.contrib import messages
from django.db.models import Count, Max, Q
from django.http import Http404, HttpResponse, HttpResponseBase
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from billing.alert_forms import EndpointForm
from billing.enums import DeliveryStatus
from billing.errors import AddressRefused, EndpointUnknown, TooManyEndpoints
from billing.models import WebhookDelivery, WebhookEndpoint
from billing.services import webhooks as service
from tenants.scope import organization_scope
from tenants.views.access import ConsoleRequest, actor_of, console_page
from tenants.views.downloads import csv_response

PAGE = 25
CSV_BATCH = 500


@console_page("webhooks.manage")
@require_safe
def webhooks(request: ConsoleRequest) -> HttpResponse:
    """List the endpoints with how their deliveries fare."""
    status = "deliveries__status"
    rows = WebhookEndpoint.objects.order_by("-id").annotate(
        delivered=Count("deliveries", filter=Q(**{status: DeliveryStatus.DELIVERED})),
        waiting=Count("deliveries", filter=Q(**{status: DeliveryStatus.QUEUED})),
        failed=Count("deliveries", filter=Q(**{status: DeliveryStatus.FAILED})),
        last_delivered_at=Max("deliveries__delivered_at"),
    )
    return render(request, "billing/webhooks.html", {"rows": rows, "now": timezone.now()})


@console_page("webhooks.manage")
@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
def webhook_new(request: ConsoleRequest) -> HttpResponse:
    """Make an endpoint; the answer is the one page that ever shows its secret."""
    form = EndpointForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        values = form.cleaned_data
        try:
            endpoint, secret = service.create_endpoint(
                organization_id=request.organization.id,
                name=values["name"],
                kind=values["kind"],
                url=values["url"].strip(),
                rules=values["rules"],
                actor=actor_of(request),
                now=timezone.now(),
            )
        except AddressRefused:
            form.add_error("url", _refused_address())
        except TooManyEndpoints:
            form.add_error(None, _("There are as many endpoints as an organization may have. Delete one first."))
        else:
            if not secret:
                return redirect("webhook", request.organization.slug, endpoint.id)
            return render(request, "billing/webhook_secret.html", {"endpoint": endpoint, "secret": secret})
    return render(request, "billing/webhook_form.html", {"form": form, "endpoint": None})


@console_page("webhooks.manage")
@require_safe
def webhook(request: ConsoleRequest, endpoint_id: uuid.UUID) -> HttpResponse:
    """Show an endpoint and its deliveries, latest first, 25 a page (`?status=&cursor=`)."""
    endpoint = _find(endpoint_id)
    deliveries = WebhookDelivery.objects.filter(endpoint=endpoint).order_by("-id")
    counts = dict(deliveries.order_by().values_list("status").annotate(count=Count("id")))
    status = request.GET.get("status", "")
    if status in DeliveryStatus.values:
        deliveries = deliveries.filter(status=status)
    cursor = _cursor(request.GET.get("cursor", ""))
    rows = list((deliveries.filter(id__lt=cursor) if cursor else deliveries)[: PAGE + 1])
    context = {
        "endpoint": endpoint,
        "rows": rows[:PAGE],
        "next_cursor": rows[PAGE - 1].id if len(rows) > PAGE else None,
        "first": not cursor,
        "status": status,
        "statuses": [(value, label, counts.get(value, 0)) for value, label in DeliveryStatus.choices],
        "filtered": status in DeliveryStatus.values,
        "total": sum(counts.values()),
        "now": timezone.now(),
    }
    return render(request, "billing/webhook.html", context)


@console_page("webhooks.manage")
@require_safe
def webhook_csv(request: ConsoleRequest, endpoint_id: uuid.UUID) -> HttpResponseBase:
    """Stream an endpoint's deliveries as CSV, one line each (`?status=`)."""
    endpoint = _find(endpoint_id)
    rows = _csv_rows(request.organization.id, endpoint.id, request.GET.get("status", ""))
    return csv_response(f"webhook-{endpoint.id}.csv", rows)


@console_page("webhooks.manage")
@require_http_methods(["GET", "HEAD", "POST"])
def webhook_change(request: ConsoleRequest, endpoint_id: uuid.UUID) -> HttpResponse:
    """Change an endpoint's name, address and alerts, or turn it off and on."""
    endpoint = _find(endpoint_id)
    form = EndpointForm(request.POST or None, endpoint=endpoint)
    if request.method == "POST" and form.is_valid():
        values = form.cleaned_data
        try:
            service.change_endpoint(
                endpoint_id=endpoint.id,
                name=values["name"],
                url=values["url"].strip(),
                rules=values["rules"],
                enabled=values["enabled"],
                actor=actor_of(request),
                now=timezone.now(),
            )
        except AddressRefused:
            form.add_error("url", _refused_address())
        else:
            messages.success(request, _("Saved."))
            return redirect("webhook", request.organization.slug, endpoint.id)
    return render(request, "billing/webhook_form.html", {"form": form, "endpoint": endpoint})


@console_page("webhooks.manage")
@require_POST
def webhook_test(request: ConsoleRequest, endpoint_id: uuid.UUID) -> HttpResponse:
    """Send an event that says nothing but that it is a test."""
    _find(endpoint_id)
    service.send_test(endpoint_id=endpoint_id, actor=actor_of(request), now=timezone.now())
    messages.success(request, _("The test is on its way; what came of it stands below in a moment."))
    return redirect("webhook", request.organization.slug, endpoint_id)


@console_page("webhooks.manage")
@require_POST
@never_cache
def webhook_rotate(request: ConsoleRequest, endpoint_id: uuid.UUID) -> HttpResponse:
    """Give an endpoint a new secret; the answer is the one page that ever shows it."""
    _find(endpoint_id)
    endpoint, secret, signed = service.rotate_secret(
        endpoint_id=endpoint_id, actor=actor_of(request), now=timezone.now()
    )
    if not signed:
        raise Http404
    return render(request, "billing/webhook_secret.html", {"endpoint": endpoint, "secret": secret})


@console_page("webhooks.manage")
@require_POST
def webhook_delete(request: ConsoleRequest, endpoint_id: uuid.UUID) -> HttpResponse:
    """Delete an endpoint and its deliveries, once its name was typed to confirm it."""
    endpoint = _find(endpoint_id)
    if request.POST.get("confirm_name", "").strip() != endpoint.name.strip():
        messages.error(request, _("The name did not match, so nothing was deleted."))
        return redirect("webhook", request.organization.slug, endpoint_id)
    service.delete_endpoint(endpoint_id=endpoint_id, actor=actor_of(request), now=timezone.now())
    messages.success(request, _("The endpoint %(name)s is deleted.") % {"name": endpoint.name})
    return redirect("webhooks", request.organization.slug)


@console_page("webhooks.manage")
@require_POST
def webhook_resend(request: ConsoleRequest, delivery_id: uuid.UUID) -> HttpResponse:
    """Send a delivery once more."""
    try:
        delivery = service.resend(delivery_id=delivery_id, actor=actor_of(request), now=timezone.now())
    except EndpointUnknown as error:
        raise Http404 from error
    messages.success(request, _("It is on its way again."))
    return redirect("webhook", request.organization.slug, delivery.endpoint_id)


def _csv_rows(organization_id: uuid.UUID, endpoint_id: uuid.UUID, status: str) -> Iterator[Sequence[Any]]:
    yield ["time", "delivery", "event", "type", "status", "attempts", "delivered", "last_status", "last_error"]
    cursor: uuid.UUID | None = None
    while True:
        with organization_scope(organization_id):
            found = WebhookDelivery.objects.filter(endpoint_id=endpoint_id).order_by("-id")
            if status in DeliveryStatus.values:
                found = found.filter(status=status)
            rows = list((found.filter(id__lt=cursor) if cursor else found)[:CSV_BATCH])
        for row in rows:
            last = row.log[-1] if row.log else {}
            yield [
                row.created_at.isoformat(),
                row.id,
                row.event_id,
                row.event_type,
                row.status,
                row.attempts,
                row.delivered_at.isoformat() if row.delivered_at else "",
                last.get("status") or "",
                last.get("error", ""),
            ]
        if len(rows) < CSV_BATCH:
            return
        cursor = rows[-1].id


def _find(endpoint_id: uuid.UUID) -> WebhookEndpoint:
    try:
        return service.find_endpoint(endpoint_id)
    except EndpointUnknown as error:
        raise Http404 from error


def _refused_address() -> str:
    return _("This address cannot be called: give one that begins with https:// and is reachable from the internet.")


def _cursor(text: str) -> uuid.UUID | None:
    try:
        return uuid.UUID(text) if text else None
    except ValueError:
        return None
