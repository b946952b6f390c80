"""What was paid back, what is disputed, and what is owed since."""

from __future__ import annotations

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST, require_safe

from billing.errors import DebtUnknown, InsufficientTokens
from billing.queries.debts import debts, owed_mtok
from billing.services.debts import settle_from_wallet
from billing.views.refusals import in_tokens
from tenants.permissions import Permission
from tenants.views.access import ConsoleRequest, actor_of, console_page

SHOWN = 100


@console_page("grants.view")
@require_safe
def refunds_page(request: ConsoleRequest) -> HttpResponse:
    """Show debts with their causes."""
    organization_id = request.organization.id
    context = {
        "debts": debts(organization_id)[:SHOWN],
        "owed_mtok": owed_mtok(organization_id),
        "may_settle": Permission.BILLING_MANAGE in request.permissions,
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
