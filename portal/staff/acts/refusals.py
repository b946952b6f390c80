"""Why an act of staff was refused, in words that say what to do; nothing was changed then."""

from __future__ import annotations

from django.utils.translation import gettext as _

from billing.errors import (
    AlertError,
    DebtOutstanding,
    DebtUnknown,
    GatewayAway,
    GatewayRefused,
    IdempotencyMismatch,
    InsufficientTokens,
    LedgerError,
    NotReversible,
    PaymentError,
    PaymentsUnavailable,
    PlanBusy,
    PlanUnchanged,
    RefundRefused,
)
from billing.views.refunds import why_not_words
from billing.views.refusals import refusal
from detection.errors import NotStuck
from tenants.errors import TenantsError

REFUSALS = (LedgerError, PaymentError, AlertError, TenantsError, NotStuck)


def refusal_of_act(error: Exception) -> str:
    """Return why an act was refused, to whoever of the staff tried."""
    match error:
        case DebtUnknown():
            return _("Nothing is left of this debt: it was settled, forgiven or withdrawn.")
        case NotReversible():
            return _("A transfer of this kind is not reversed: do the opposite of it instead.")
        case PlanUnchanged():
            return _("It is on this plan already: nothing happens.")
        case PlanBusy():
            return _("The plan is being changed just now. Look again in a moment.")
        case RefundRefused() | DebtOutstanding() | InsufficientTokens() | IdempotencyMismatch():
            return why_not_words(error)
        case PaymentsUnavailable():
            return _("Buying is not set up on this server, so Stripe cannot be asked.")
        case GatewayAway():
            return _("The payment service does not answer. Nothing was changed; try again in a moment.")
        case GatewayRefused():
            return _("The payment service refused: %(reason)s") % {"reason": error}
        case LedgerError():
            return refusal(error)
        case _:
            return str(error)


def will_be_refused(why: str) -> list[str]:
    """Return the consequence of an act that will be refused as things stand."""
    return [_("It will be refused: %(reason)s") % {"reason": why}]
