"""The billing page: sections that are each made and shown by themselves."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.conf import settings
from django.contrib import messages
from django.http import HttpResponse, HttpResponseBase
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_safe

from billing.errors import PaymentError
from billing.gateways.stripe import customers as gateway
from billing.models import BillingCustomer
from billing.queries.payments import payment_rows
from billing.views import plan
from billing.views.home import automatic, sections
from billing.views.home.money_back import money_back
from billing.views.leaving import leave_for
from tenants.permissions import Permission
from tenants.scope import organization_scope
from tenants.views.access import ConsoleRequest, console_page
from tenants.views.downloads import csv_response

P = Permission


@dataclass(frozen=True)
class HomeSection:
    """A part of the billing page, for who has `permission`. It is shown by templates/billing/home/_<name>.html."""

    name: str
    permission: Permission
    build: Callable[[ConsoleRequest, datetime], dict[str, Any] | None]

    @property
    def template(self) -> str:
        return f"billing/home/_{self.name}.html"


# In the order in which they are shown.
SECTIONS = (
    HomeSection("tokens", P.GRANTS_VIEW, sections.tokens),
    HomeSection("plan", P.GRANTS_VIEW, plan.section),
    HomeSection("payments", P.BILLING_MANAGE, sections.paid),
    HomeSection("money_back", P.BILLING_MANAGE, money_back),
    HomeSection("grants", P.GRANTS_VIEW, sections.granted),
    HomeSection("methods", P.BILLING_MANAGE, sections.methods),
    HomeSection("auto_top_up", P.BILLING_MANAGE, automatic.section),
    HomeSection("details", P.BILLING_MANAGE, sections.details),
)


@console_page("grants.view")
@require_safe
def billing_home(request: ConsoleRequest) -> HttpResponse:
    """Show the sections that the member may see and that have something to show."""
    now, shown = timezone.now(), []
    for section in SECTIONS:
        if section.permission in request.permissions:
            context = section.build(request, now)
            if context is not None:
                shown.append({"template": section.template, "context": context})
    return render(request, "billing/home.html", {"sections": shown})


@console_page("billing.manage", scoped=False)
@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
def billing_details(request: ConsoleRequest) -> HttpResponse:
    """Return what Stripe knows of the organization, as a fragment; POST leads to Stripe's page where it is changed."""
    slug = request.organization.slug
    with organization_scope(request.organization.id):
        customer = BillingCustomer.objects.first()
    if request.method == "POST":
        try:
            if customer is None:
                return redirect("billing_home", slug)
            back = f"{settings.BASE_URL}{reverse('billing_home', args=[slug])}"
            return leave_for(request, gateway.details_page(stripe_id=customer.stripe_id, return_url=back))
        except PaymentError:
            messages.error(request, _("The payment service does not answer. Try again in a moment."))
            return redirect("billing_home", slug)
    try:
        found = gateway.customer(customer.stripe_id) if customer else None
    except PaymentError:
        return render(request, "billing/home/_details_found.html", {"away": True})
    return render(request, "billing/home/_details_found.html", {"found": found})


@console_page("billing.manage", scoped=False)
@require_safe
def payments_csv(request: ConsoleRequest) -> HttpResponseBase:
    """Stream all payments as CSV, latest first."""
    return csv_response("payments.csv", payment_rows(request.organization.id))
