"""Redeeming a code."""

from __future__ import annotations

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods

from billing.code_forms import RedeemForm
from billing.errors import CodeError, CodeInvalid, IdempotencyMismatch
from billing.queries.codes import redemptions
from billing.services.code_guesses import note_guess
from billing.services.codes import redeem_code
from billing.views.refusals import in_tokens
from tenants.views.access import ConsoleRequest, actor_of, console_page

SHOWN = 20


@console_page("billing.manage")
@require_http_methods(["GET", "HEAD", "POST"])
def redeem(request: ConsoleRequest) -> HttpResponse:
    """Take a code and credit its Tokens at once; below, the codes that the organization has used."""
    form = RedeemForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        now, actor = timezone.now(), actor_of(request)
        try:
            redemption = redeem_code(
                organization_id=request.organization.id,
                typed=form.cleaned_data["code"],
                actor=actor,
                idempotency_key=f"page:{form.cleaned_data['key']}",
                now=now,
            )
        except (CodeError, IdempotencyMismatch) as error:
            if isinstance(error, CodeInvalid):
                note_guess(organization_id=request.organization.id, actor=actor, now=now)
            form.add_error("code", str(error))
        else:
            tokens = in_tokens(redemption.tokens_mtok)
            messages.success(request, _("%(tokens)s Tokens were credited.") % {"tokens": tokens})
            return redirect("redeem", request.organization.slug)
    used = redemptions(request.organization.id)[:SHOWN]
    return render(request, "billing/redeem.html", {"form": form, "redemptions": used})
