"""What was paid back, what is disputed, what is owed since, and asking for money back."""

from __future__ import annotations

import uuid
from typing import Any

import structlog
from django import forms
from django.contrib import messages
from django.http import Http404, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from billing.enums import RefundStatus
from billing.errors import (
    DebtOutstanding,
    DebtUnknown,
    IdempotencyMismatch,
    InsufficientTokens,
    LedgerError,
    PaymentError,
    PaymentUnknown,
    RefundRefused,
)
from billing.forms import TokensField
from billing.models import Refund
from billing.queries.debts import debts, owed_mtok
from billing.queries.refunds import disputes, refunds
from billing.services.debts import settle_from_wallet
from billing.services.refunds import RefundPreview, preview_refund, request_refund
from billing.views.refusals import in_tokens
from tenants.permissions import Permission
from tenants.scope import organization_scope
from tenants.views.access import ConsoleRequest, actor_of, console_page

log = structlog.get_logger(__name__)

SHOWN = 100


class RefundForm(forms.Form):
    """How many Tokens to give back; empty for all that are unspent. `key` makes it one refund."""

    tokens = TokensField(label=gettext_lazy("Tokens to give back"), required=False)
    key = forms.UUIDField(required=False, widget=forms.HiddenInput)


@console_page("grants.view")
@require_safe
def refunds_page(request: ConsoleRequest) -> HttpResponse:
    """Show debts with their causes and, to whoever may pay, refunds and disputes."""
    organization_id = request.organization.id
    may_pay = Permission.BILLING_MANAGE in request.permissions
    context = {
        "debts": debts(organization_id)[:SHOWN],
        "owed_mtok": owed_mtok(organization_id),
        "may_settle": may_pay,
        "refunds": refunds(organization_id)[:SHOWN] if may_pay else [],
        "disputes": disputes(organization_id)[:SHOWN] if may_pay else [],
    }
    return render(request, "billing/refunds.html", context)


@console_page("billing.manage")
@require_POST
def debt_settle(request: ConsoleRequest) -> HttpResponse:
    """Settle what is owed from what was bought and lies in the wallet."""
    try:
        settled = settle_from_wallet(
            organization_id=request.organization.id, actor=actor_of(request), now=timezone.now()
        )
    except DebtUnknown:
        messages.info(request, _("Nothing is owed."))
    except InsufficientTokens:
        messages.error(request, _("The wallet has no Tokens that were bought. Take some back from pools, or top up."))
    else:
        messages.success(request, _("%(tokens)s Tokens of the debt are settled.") % {"tokens": in_tokens(settled)})
    return redirect("refunds", request.organization.slug)


@console_page("billing.manage", scoped=False)
@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
def payment_refund(request: ConsoleRequest, payment_id: uuid.UUID) -> HttpResponse:
    """Show what a refund of a payment would do (`?tokens=`), and do it once it is confirmed by name."""
    form = RefundForm(request.GET)
    mtok = form.cleaned_data["tokens"] if form.is_valid() else None
    key = (form.cleaned_data.get("key") if form.is_valid() else None) or uuid.uuid4()
    preview, why_not = _look(request, payment_id, mtok)
    if request.method == "POST" and form.is_valid():
        if request.POST.get("confirm_name") != request.organization.name:
            messages.error(request, _("Type the name to confirm."))
        elif (refund := _ask(request, payment_id, mtok, key)) is not None:
            messages.success(request, _said(refund)) if refund.status != RefundStatus.FAILED else messages.error(
                request, _said(refund)
            )
            return redirect("refunds", request.organization.slug)
        preview, why_not = _look(request, payment_id, mtok)
    with organization_scope(request.organization.id):
        context: dict[str, Any] = {
            "form": form,
            "preview": preview,
            "why_not": why_not,
            "payment_id": payment_id,
            "asked": request.GET.get("tokens", ""),
            "key": key,
        }
        return render(request, "billing/refund.html", context)


def _look(request: ConsoleRequest, payment_id: uuid.UUID, mtok: int | None) -> tuple[RefundPreview | None, str]:
    try:
        with organization_scope(request.organization.id):
            return (
                preview_refund(
                    organization_id=request.organization.id, payment_id=payment_id, mtok=mtok, now=timezone.now()
                ),
                "",
            )
    except PaymentUnknown as error:
        raise Http404 from error
    except (LedgerError, PaymentError) as error:
        return None, why_not_words(error)


def _ask(request: ConsoleRequest, payment_id: uuid.UUID, mtok: int | None, key: uuid.UUID) -> Refund | None:
    try:
        return request_refund(
            organization_id=request.organization.id,
            payment_id=payment_id,
            mtok=mtok,
            reason="",
            actor=actor_of(request),
            idempotency_key=f"page:{key}",
            now=timezone.now(),
        )
    except (LedgerError, PaymentError) as error:
        log.info("refund_not_made", payment=str(payment_id), error=type(error).__name__)
        messages.error(request, why_not_words(error))
    return None


def _said(refund: Refund) -> str:
    told = {"amount": refund.amount, "tokens": in_tokens(refund.taken_mtok)}
    match refund.status:
        case RefundStatus.SUCCEEDED:
            return _("%(tokens)s Tokens went back, and %(amount)s is paid back. Banks take up to ten days.") % told
        case RefundStatus.FAILED:
            return _("The payment service refused the refund, so nothing went back. Ask the operator of this portal.")
        case _:
            return _("%(tokens)s Tokens went back, and %(amount)s is on its way.") % told


def why_not_words(error: Exception) -> str:
    """Return why a refund is not made, to a person."""
    match error:
        case RefundRefused():
            return {
                "not_paid": _("Only a payment that was made can be refunded."),
                "nothing_paid": _("No money was paid, so none can go back."),
                "no_tokens": _("This payment brought no Tokens that could go back."),
                "refunded": _("All of it went back already."),
                "disputed": _("A payment that is or was disputed is settled by the bank."),
                "too_late": _("The time for refunds of this payment is over. Ask the operator of this portal."),
                "too_little": _("So few Tokens are worth less than the smallest coin."),
                "kind": _("Plans and boosts are refunded by the operator of this portal: ask there."),
            }.get(error.code, str(error))
        case DebtOutstanding():
            return _("Your organization owes Tokens. Settle that first; then money can go back.")
        case InsufficientTokens(available_mtok=0):
            return _("Nothing of it is unspent. Spent Tokens are not refunded.")
        case InsufficientTokens():
            return _("Only %(tokens)s Tokens of it are unspent. Spent Tokens are not refunded.") % {
                "tokens": in_tokens(error.available_mtok)
            }
        case IdempotencyMismatch():
            return _("This form was sent before, for something else. Begin again.")
        case _:
            return _("The payment service does not answer. Nothing went back; try again in a moment.")
