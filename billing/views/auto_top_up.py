"""The automatic top-up: how it is, setting it up after a look at what it will do, and letting it go on."""

from __future__ import annotations

from allauth.account.decorators import reauthentication_required
from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST

from billing.auto_top_up_forms import FIELD_OF, AutoTopUpForm
from billing.enums import AccountKind, AutoTopUpStatus
from billing.errors import AutoTopUpInvalid, TopUpInvalid
from billing.models import Account, AutoTopUp, BillingCustomer
from billing.money import money_text
from billing.queries.auto_top_up import state_of
from billing.services.auto_top_up_settings import AutoTopUpTerms, check_terms, resume_auto_top_up, set_auto_top_up
from billing.views.refusals import in_tokens
from tenants.views.access import ConsoleRequest, actor_of, console_page


@console_page("billing.manage")
@reauthentication_required(allow_get=True)
@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
def auto_top_up(request: ConsoleRequest) -> HttpResponse:
    """Show how it is, and change it: the form, then what will happen in numbers, then the doing."""
    now = timezone.now()
    context = state_of(now)
    form = AutoTopUpForm(request.POST or None, row=context["row"])
    if request.method == "POST" and form.is_valid():
        terms = form.terms()
        try:
            if "confirmed" in request.POST:
                row = set_auto_top_up(
                    organization_id=request.organization.id, terms=terms, actor=actor_of(request), now=now
                )
                messages.success(request, _done(row))
                return redirect("auto_top_up", request.organization.slug)
            context["consequence"] = _consequence(terms, context["customer"])
        except (AutoTopUpInvalid, TopUpInvalid) as error:
            name = FIELD_OF.get(error.field, error.field)
            form.add_error(name if name in form.fields else None, str(error))
    return render(request, "billing/auto_top_up.html", {**context, "form": form})


@console_page("billing.manage")
@reauthentication_required()
@require_POST
def auto_top_up_resume(request: ConsoleRequest) -> HttpResponse:
    """Let it go on after it stopped; whoever does has seen why."""
    try:
        resume_auto_top_up(organization_id=request.organization.id, actor=actor_of(request), now=timezone.now())
    except AutoTopUpInvalid as error:
        messages.error(request, str(error))
    else:
        messages.success(request, _("The automatic top-up goes on."))
    return redirect("auto_top_up", request.organization.slug)


def _done(row: AutoTopUp) -> str:
    if row.status == AutoTopUpStatus.STOPPED:
        return _("This is kept. It stays stopped until you let it go on.")
    return _("The automatic top-up is off.") if row.status == AutoTopUpStatus.OFF else _("The automatic top-up is on.")


def _consequence(terms: AutoTopUpTerms, customer: BillingCustomer | None) -> list[str]:
    offer = check_terms(terms)
    if not terms.enabled:
        return [_("Nothing is bought automatically any more. A payment already on its way still goes through.")]
    if customer is None:
        raise AutoTopUpInvalid("card", _("Save a card first: it is charged while nobody is present."))
    purchases = terms.ceiling_minor // offer.amount_minor
    lines = [
        _("When spending leaves the wallet less than %(threshold)s Tokens, %(tokens)s Tokens are bought for %(price)s.")
        % {
            "threshold": in_tokens(terms.threshold_mtok),
            "tokens": in_tokens(offer.tokens_mtok),
            "price": offer.price,
        },
        ngettext(
            "At most %(ceiling)s in a calendar month, which is %(count)d purchase at today's price.",
            "At most %(ceiling)s in a calendar month, which is %(count)d purchases at today's price.",
            purchases,
        )
        % {"ceiling": money_text(terms.ceiling_minor, offer.currency), "count": purchases},
        _("More than %(hour)d payments in an hour or %(day)d in a day stop it, until a person lets it go on.")
        % {"hour": terms.most_per_hour, "day": terms.most_per_day},
        _("%(card)s is charged while nobody is present.")
        % {"card": f"{customer.card_brand.capitalize()} ···· {customer.card_last4}"},
        _("The listed price is charged: tax is worked out only where somebody buys by hand."),
    ]
    left = Account.objects.values_list("posted_mtok", flat=True).get(kind=AccountKind.ORG_WALLET)
    if left < terms.threshold_mtok:
        lines.append(
            _("The wallet has %(left)s Tokens: the first purchase is made at once.") % {"left": in_tokens(left)}
        )
    return lines
