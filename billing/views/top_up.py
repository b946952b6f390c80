"""Buying Tokens: choosing, going to Stripe's page, and coming back from it."""

from __future__ import annotations

import uuid

import structlog
from django.conf import settings
from django.contrib import messages
from django.http import Http404, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.translation import get_language
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from billing.enums import Currency, DisputeStatus, PaymentStatus
from billing.errors import CodeError, CodeInvalid, PaymentClosed, PaymentError, PaymentUnknown, TooManyPayments
from billing.gateways.stripe import payments_enabled
from billing.models import Dispute, Payment
from billing.queries.packages import packages_on_sale
from billing.queries.top_ups import cheaper_offer, tiers_of
from billing.services import topups as service
from billing.services.code_guesses import note_guess
from billing.services.fulfilment import fulfil
from billing.services.parts import bonus_grants
from billing.services.topups import Buyer
from billing.top_up_forms import TopUpForm
from billing.views.balance import standing_of
from billing.views.leaving import leave_for
from tenants.permissions import Permission
from tenants.queries.people import billing_people_of
from tenants.scope import organization_scope
from tenants.views.access import ConsoleRequest, actor_of, console_page, require_permission

log = structlog.get_logger(__name__)

# What people come to who were refused for want of Tokens.
FIRST_AMOUNT = 1000


@console_page("grants.view", scoped=False)
@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
def top_up(request: ConsoleRequest) -> HttpResponse:
    """Show what can be bought, and begin to buy it; who may not buy sees who may. `top_up_url` points here."""
    if request.method != "POST":
        currency = _currency(request)
        return _show(request, TopUpForm(initial={"currency": currency, "tokens": FIRST_AMOUNT}), currency)
    require_permission(request, Permission.BILLING_MANAGE)
    form = TopUpForm(request.POST)
    if not form.is_valid():
        return _show(request, form, _currency(request))
    now, actor = timezone.now(), actor_of(request)
    try:
        payment = service.begin_top_up(
            organization_id=request.organization.id,
            offer=form.offer,
            buyer=Buyer(actor, request.user.email, get_language() or "en"),
            code=form.cleaned_data["code"],
            idempotency_key=f"page:{form.cleaned_data['key']}",
            now=now,
        )
    except CodeError as error:
        if isinstance(error, CodeInvalid):
            note_guess(organization_id=request.organization.id, actor=actor, now=now)
        form.add_error("code", str(error))
    except TooManyPayments:
        form.add_error(None, _("Many payments were begun here within an hour and not made. Try again later."))
    except PaymentError as error:
        log.warning("top_up_failed", error=type(error).__name__)
        form.add_error(None, _("The payment service does not answer. Nothing was charged; try again in a moment."))
    else:
        return redirect("payment_pay", request.organization.slug, payment.id)
    return _show(request, form, _currency(request))


@console_page("grants.view")
@require_safe
def top_up_price(request: ConsoleRequest) -> HttpResponse:
    """Return what a free amount costs, as a fragment."""
    form = TopUpForm({**request.GET.dict(), "key": uuid.uuid4()})
    context = {"form": form, "valid": form.is_valid()}
    if context["valid"]:
        context |= {"offer": form.offer, "cheaper": cheaper_offer(form.offer)}
    return render(request, "billing/_top_up_price.html", context)


@console_page("billing.manage", scoped=False)
@require_safe
@never_cache
def payment(request: ConsoleRequest, payment_id: uuid.UUID) -> HttpResponse:
    """Show where a payment has come to, looking at Stripe while it is not over: who comes back from there lands here.

    Asked for by htmx, it returns the state alone.
    """
    found = _find(request, payment_id)
    if found.is_unsettled and found.checkout_session_id:
        try:
            found = fulfil(checkout_session_id=found.checkout_session_id, now=timezone.now())
        except PaymentError as error:
            log.warning("payment_not_looked_up", payment=str(payment_id), error=type(error).__name__)
    return _show_payment(request, found)


@console_page("billing.manage", scoped=False)
@require_safe
@never_cache
def payment_pay(request: ConsoleRequest, payment_id: uuid.UUID) -> HttpResponse:
    """Go to Stripe's page for a payment, or show where it has come to if it can no longer be paid there."""
    found = _find(request, payment_id)
    if found.status == PaymentStatus.OPEN and found.checkout_url:
        return leave_for(request, found.checkout_url)
    return _show_payment(request, found)


@console_page("billing.manage", scoped=False)
@require_POST
def payment_cancel(request: ConsoleRequest, payment_id: uuid.UUID) -> HttpResponse:
    """Close Stripe's page for a payment, so that nobody can pay there any more."""
    try:
        service.cancel_top_up(
            organization_id=request.organization.id,
            payment_id=payment_id,
            actor=actor_of(request),
            now=timezone.now(),
        )
    except PaymentUnknown as error:
        raise Http404 from error
    except PaymentClosed:
        pass
    except PaymentError:
        messages.error(request, _("The payment service does not answer. Try again in a moment."))
    return redirect("payment", request.organization.slug, payment_id)


def _show(request: ConsoleRequest, form: TopUpForm, currency: str) -> HttpResponse:
    may_buy = Permission.BILLING_MANAGE in request.permissions
    # A package needs none; its own form, as it is shown, does.
    form.fields["tokens"].required = True
    with organization_scope(request.organization.id):
        context = {
            "form": form,
            "currency": currency,
            "currencies": Currency.values,
            "packages": packages_on_sale(currency),
            "tiers": tiers_of(currency),
            "enabled": payments_enabled(),
            "may_buy": may_buy,
            "buyers": [] if may_buy else billing_people_of(request.organization.id),
            "standing": standing_of(request),
        }
        return render(request, "billing/top_up.html", context)


def _show_payment(request: ConsoleRequest, found: Payment) -> HttpResponse:
    with organization_scope(request.organization.id):
        dispute = found.disputes.exclude(status=DisputeStatus.WON).order_by("-id").first()
        context = {
            "payment": found,
            "state": _state(found, request.GET.get("back", ""), dispute),
            "disputed": dispute.amount if dispute else "",
            "credited_mtok": found.tokens_mtok + sum(grant.amount_mtok for grant in bonus_grants(found)),
            "standing": standing_of(request),
        }
        template = "billing/_payment_state.html" if request.headers.get("HX-Request") else "billing/payment.html"
        return render(request, template, context)


def _currency(request: ConsoleRequest) -> str:
    """Return what prices are shown in: as asked, else as was paid the last time, else the portal's own."""
    asked = request.POST.get("currency") or request.GET.get("currency")
    if asked in Currency.values:
        return asked
    with organization_scope(request.organization.id):
        last = Payment.objects.filter(status=PaymentStatus.PAID).order_by("-id").values_list("currency", flat=True)
        return last.first() or settings.TOKEN_PRICE_CURRENCY


def _find(request: ConsoleRequest, payment_id: uuid.UUID) -> Payment:
    try:
        return service.find_payment(organization_id=request.organization.id, payment_id=payment_id)
    except PaymentUnknown as error:
        raise Http404 from error


def _state_of_paid(found: Payment, dispute: Dispute | None) -> str:
    if dispute is not None:
        return "disputed" if dispute.status == DisputeStatus.OPEN else "lost"
    return "refunded" if 0 < found.total_minor <= found.refunded_minor else found.status


def _state(found: Payment, back: str, dispute: Dispute | None) -> str:
    """Return which words describe a payment: its status, or for an open one how its buyer came back."""
    if found.alarm:
        return "checking"
    if found.status == PaymentStatus.PAID:
        return _state_of_paid(found, dispute)
    if found.status != PaymentStatus.OPEN:
        return found.status
    return {"cancelled": "cancelled", "paid": "looking"}.get(back, "open")
