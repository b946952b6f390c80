"""Saved cards: what Stripe has, saving one more on its page, choosing and removing."""

from __future__ import annotations

import uuid

import structlog
from allauth.account.decorators import reauthentication_required
from django.contrib import messages
from django.http import Http404, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.translation import get_language
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST, require_safe

from billing.errors import CardUnknown, PaymentError
from billing.gateways.stripe.client import payments_enabled
from billing.models import AutoTopUp, BillingCustomer
from billing.services import cards as service
from billing.services.topups import Buyer
from billing.views.leaving import leave_for
from tenants.scope import organization_scope
from tenants.views.access import ConsoleRequest, actor_of, console_page

log = structlog.get_logger(__name__)


@console_page("billing.manage", scoped=False)
@require_safe
@never_cache
def cards(request: ConsoleRequest) -> HttpResponse:
    """List the saved cards as Stripe has them now."""
    return _show(request)


@console_page("billing.manage", scoped=False)
@reauthentication_required()
@require_POST
def card_new(request: ConsoleRequest) -> HttpResponse:
    """Lead to Stripe's page on which a card is saved."""
    try:
        url = service.begin_saving_card(
            organization_id=request.organization.id,
            buyer=Buyer(actor_of(request), request.user.email, get_language() or "en"),
            key=str(_key(request)),
            now=timezone.now(),
        )
    except PaymentError as error:
        return _sorry(request, error)
    return leave_for(request, url)


@console_page("billing.manage", scoped=False)
@require_safe
@never_cache
def card_saved(request: ConsoleRequest) -> HttpResponse:
    """Take over what was saved on Stripe's page (`?session=`): who saved it comes back here."""
    session_id = request.GET.get("session", "")[:120]
    if not session_id:
        return redirect("cards", request.organization.slug)
    try:
        saved = service.save_card(
            session_id=session_id,
            organization_id=request.organization.id,
            now=timezone.now(),
        )
    except CardUnknown as error:
        raise Http404 from error
    except PaymentError as error:
        log.warning("card_not_taken_over", error=type(error).__name__)
        messages.error(request, _("The payment service does not answer. Load this page again in a moment."))
        return _show(request)
    if saved:
        messages.success(request, _("The card is saved, and is the one that is charged."))
    else:
        messages.warning(request, _("No card was saved."))
    return redirect("cards", request.organization.slug)


@console_page("billing.manage", scoped=False)
@reauthentication_required()
@require_POST
def card_default(request: ConsoleRequest) -> HttpResponse:
    """Charge another saved card from now on (`card`)."""
    return _act(request, service.make_default, _("%(card)s is charged from now on."))


@console_page("billing.manage", scoped=False)
@reauthentication_required()
@require_POST
def card_remove(request: ConsoleRequest) -> HttpResponse:
    """Have Stripe forget a saved card (`card`)."""
    return _act(request, service.remove_card, _("%(card)s is removed."))


def _show(request: ConsoleRequest) -> HttpResponse:
    found, away = [], False
    try:
        found = service.saved_cards(organization_id=request.organization.id)
    except PaymentError:
        away = payments_enabled()
    with organization_scope(request.organization.id):
        customer = BillingCustomer.objects.first()
        row = AutoTopUp.objects.first()
        context = {
            "cards": found,
            "away": away,
            "enabled": payments_enabled(),
            "charged": customer.card_payment_method_id if customer else "",
            "live": row is not None and row.is_live,
            "key": uuid.uuid4(),
        }
        return render(request, "billing/cards.html", context)


def _act(request: ConsoleRequest, act: object, done: str) -> HttpResponse:
    try:
        card = act(  # type: ignore[operator]
            organization_id=request.organization.id,
            payment_method_id=request.POST.get("card", "")[:120],
            actor=actor_of(request),
            now=timezone.now(),
        )
    except CardUnknown as error:
        raise Http404 from error
    except PaymentError as error:
        return _sorry(request, error)
    messages.success(request, done % {"card": f"{card.brand.capitalize()} ···· {card.last4}"})
    return redirect("cards", request.organization.slug)


def _sorry(request: ConsoleRequest, error: PaymentError) -> HttpResponse:
    log.warning("cards_failed", error=type(error).__name__)
    messages.error(request, _("The payment service does not answer. Nothing was changed; try again in a moment."))
    return redirect("cards", request.organization.slug)


def _key(request: ConsoleRequest) -> uuid.UUID:
    try:
        return uuid.UUID(request.POST.get("key", ""))
    except ValueError:
        return uuid.uuid4()
