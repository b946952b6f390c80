"""The plan: what it allows and how much of that is used, what a change would bring, changing it, and boosts."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import structlog
from django import forms
from django.conf import settings
from django.contrib import messages
from django.http import Http404, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.translation import get_language
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from billing.enums import Currency
from billing.errors import CardDeclined, PaymentError, PlanBusy, PlanError, PlanUnknown, StateChanged
from billing.gateways.stripe import payments_enabled
from billing.models import Plan, Subscription
from billing.queries.limits import plan_hour
from billing.queries.plans import boost_offers, boosts_ahead, plans_listed, subscription
from billing.queries.pools import wallet
from billing.services import boost_orders, plan_orders
from billing.services.plan_orders import Change, ChangeKind
from billing.services.topups import Buyer
from billing.views.leaving import leave_for
from billing.views.plan_words import PlanLine, plan_differences, plan_lines
from tenants.permissions import Permission
from tenants.queries.people import billing_people_of
from tenants.scope import organization_scope
from tenants.views.access import ConsoleRequest, actor_of, console_page

log = structlog.get_logger(__name__)


class ConfirmForm(forms.Form):
    """What a preview said, sent back to be done."""

    plan = forms.SlugField(widget=forms.HiddenInput)
    currency = forms.ChoiceField(choices=Currency.choices, required=False, widget=forms.HiddenInput)
    as_of = forms.DateTimeField(required=False, widget=forms.HiddenInput)
    expected_minor = forms.IntegerField(required=False, widget=forms.HiddenInput)


@dataclass(frozen=True)
class Offered:
    """A plan as one of those that are compared: what it allows, its price, and what an organization can do about it."""

    plan: Plan
    lines: list[PlanLine]
    price_minor: int | None
    current: bool = False
    scheduled: bool = False
    act: str = ""


def offered(currency: str, row: Subscription | None = None) -> list[Offered]:
    """Return the listed plans side by side; with an organization's row, what it can do about each."""
    return [
        Offered(
            plan=plan,
            lines=plan_lines(plan),
            price_minor=next((price.price_minor for price in plan.prices.all() if price.currency == currency), None),
            current=row is not None and row.plan_id == plan.id,
            scheduled=row is not None and row.next_plan_id == plan.id,
            act=_act(plan, row, currency) if row else "",
        )
        for plan in plans_listed()
    ]


@console_page("grants.view", scoped=False)
@require_safe
@never_cache
def plan(request: ConsoleRequest) -> HttpResponse:
    """Show the plan; who comes back from Stripe's page lands here. `upgrade_url` points here."""
    now = timezone.now()
    if request.GET.get("back") == "paid":
        try:
            plan_orders.settle_session(organization_id=request.organization.id, now=now)
        except PaymentError as error:
            log.warning("plan_not_looked_up", error=type(error).__name__)
    return _show(request, now)


def _show(request: ConsoleRequest, now: datetime) -> HttpResponse:
    may_buy = Permission.BILLING_MANAGE in request.permissions
    with organization_scope(request.organization.id):
        row = subscription()
        if row is None:
            raise Http404
        currency = _currency(request, row)
        context = {
            "row": row,
            "lines": plan_lines(row.plan),
            "price": row.plan.prices.filter(currency=row.currency).first() if row.currency else None,
            "hour": plan_hour(wallet().id, now=now),
            "currency": currency,
            "currencies": [] if row.currency else Currency.values,
            "offered": offered(currency, row),
            "boosts": boosts_ahead(now),
            "offers": boost_offers(currency),
            "enabled": payments_enabled(),
            "may_buy": may_buy,
            "buyers": [] if may_buy else billing_people_of(request.organization.id),
            "came_back": request.GET.get("back", ""),
            "key": uuid.uuid4(),
            "now": now,
        }
        return render(request, "billing/plan.html", context)


@console_page("billing.manage", scoped=False)
@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
def plan_change(request: ConsoleRequest) -> HttpResponse:
    """Show what a change would bring, to the cent and the Token (`?plan=&currency=`), and do exactly that on POST."""
    slug = request.organization.slug
    form = ConfirmForm(request.POST or request.GET)
    if not form.is_valid():
        return _show(request, timezone.now()) if request.method == "POST" else redirect("plan", slug)
    asked = form.cleaned_data
    if request.method == "POST":
        return _do(
            request,
            lambda now: plan_orders.change_plan(
                organization_id=request.organization.id,
                plan_key=asked["plan"],
                currency=asked["currency"],
                as_of=asked["as_of"],
                expected_minor=asked["expected_minor"],
                buyer=_buyer(request),
                now=now,
            ),
        )
    try:
        preview = plan_orders.preview_change(
            organization_id=request.organization.id,
            plan_key=asked["plan"],
            currency=asked["currency"],
            now=timezone.now(),
        )
    except PlanUnknown as error:
        raise Http404 from error
    except (PlanError, PaymentError) as error:
        messages.error(request, _why_not(error))
        return redirect("plan", slug)
    context = {
        "preview": preview,
        "differences": plan_differences(preview.before, preview.after),
        "cancels": preview.kind is ChangeKind.CANCEL,
        "form": ConfirmForm(
            initial={
                "plan": preview.after.key,
                "currency": preview.currency,
                "as_of": preview.as_of.isoformat(),
                "expected_minor": preview.today_minor,
            }
        ),
    }
    # The frame around it shows the balance.
    with organization_scope(request.organization.id):
        return render(request, "billing/plan_change.html", context)


@console_page("billing.manage", scoped=False)
@require_POST
def plan_resume(request: ConsoleRequest) -> HttpResponse:
    """Take back what is scheduled for the end of the period."""
    return _do(
        request,
        lambda now: plan_orders.resume_plan(organization_id=request.organization.id, actor=actor_of(request), now=now),
    )


@console_page("billing.manage", scoped=False)
@require_POST
def boost_buy(request: ConsoleRequest) -> HttpResponse:
    """Begin to pay for a boost."""
    try:
        offer_id, key = uuid.UUID(request.POST.get("offer", "")), uuid.UUID(request.POST.get("key", ""))
        payment = boost_orders.begin_boost(
            organization_id=request.organization.id,
            offer_id=offer_id,
            buyer=_buyer(request),
            idempotency_key=f"page:{key}",
            now=timezone.now(),
        )
    except (ValueError, PlanUnknown) as error:
        raise Http404 from error
    except (PlanError, PaymentError) as error:
        messages.error(request, _why_not(error))
        return redirect("plan", request.organization.slug)
    return redirect("payment_pay", request.organization.slug, payment.id)


def _do(request: ConsoleRequest, change: Callable[[datetime], Change]) -> HttpResponse:
    try:
        done = change(timezone.now())
    except PlanUnknown as error:
        raise Http404 from error
    except (PlanError, PaymentError, StateChanged) as error:
        messages.error(request, _why_not(error))
    else:
        if done.url:
            return leave_for(request, done.url)
        if done.state == "scheduled":
            messages.success(request, _("It changes when the period ends. Until then you can take it back."))
        elif done.state == "payment_needed":
            messages.warning(request, _("Nothing has changed yet: the payment is not through."))
        else:
            messages.success(request, _("The plan is in force."))
    return redirect("plan", request.organization.slug)


def _why_not(error: Exception) -> str:
    match error:
        case StateChanged():
            return _("What was shown is out of date. Nothing was changed; look again at what it costs.")
        case PlanBusy():
            return _("The plan is being changed just now. Look again in a moment.")
        case CardDeclined():
            return _("The card was declined. Nothing was changed.")
        case PaymentError():
            return _("The payment service does not answer. Nothing was changed; try again in a moment.")
        case _error:
            return _("This change is not possible as things stand. Nothing was changed.")


def _act(plan: Plan, row: Subscription, currency: str) -> str:
    """Return which change to a plan is offered: subscribe, upgrade, downgrade, cancel, resume, ask or none ("")."""
    if row.plan_id == plan.id or row.by_staff or row.grace_ends_at is not None:
        return ""
    if row.next_plan_id == plan.id:
        return ""
    sold = any(price.currency == (row.currency or currency) for price in plan.prices.all())
    if plan.initial:
        return "cancel" if row.stripe_id else ""
    if not sold:
        return "ask"
    if not row.stripe_id:
        return "subscribe"
    if row.next_plan_id:
        return ""
    return "upgrade" if plan.position > row.plan.position else "downgrade"


def _currency(request: ConsoleRequest, row: Subscription) -> str:
    asked = request.GET.get("currency")
    if row.currency:
        return row.currency
    return asked if asked in Currency.values else settings.TOKEN_PRICE_CURRENCY


def _buyer(request: ConsoleRequest) -> Buyer:
    return Buyer(actor_of(request), request.user.email, get_language() or "en")


def section(request: ConsoleRequest, now: datetime) -> dict[str, Any] | None:
    """Return what the billing page says of the plan."""
    row = subscription()
    if row is None:
        return None
    return {
        "row": row,
        "price": row.plan.prices.filter(currency=row.currency).first() if row.currency else None,
        "hour": plan_hour(wallet().id, now=now),
        "boosts": boosts_ahead(now),
        "may_buy": Permission.BILLING_MANAGE in request.permissions,
        "now": now,
    }
