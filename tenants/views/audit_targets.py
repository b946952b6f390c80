"""What the audit log calls the things that something was done to."""

from __future__ import annotations

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

TARGETS: dict[str, Promise] = {
    "account": _("Account"),
    "alert": _("Alert"),
    "auto_top_up": _("Automatic top-up"),
    "call": _("Call"),
    "card": _("Card"),
    "code": _("Code"),
    "debt": _("Debt"),
    "dispute": _("Dispute"),
    "grant": _("Grant"),
    "hold": _("Hold"),
    "invitation": _("Invitation"),
    "job": _("Call"),
    "mail": _("Mail"),
    "management_key": _("Management key"),
    "membership": _("Member"),
    "organization": _("Organization"),
    "payment": _("Payment"),
    "refund": _("Refund"),
    "single_sign_on": _("Single sign-on"),
    "stripe_event": _("Stripe event"),
    "sub_token": _("Sub-token"),
    "team": _("Team"),
    "transfer": _("Transfer"),
    "user": _("Person"),
    "webhook_delivery": _("Webhook delivery"),
    "webhook_endpoint": _("Webhook endpoint"),
}


def target_words(kind: str) -> str:
    """Return what people call a kind of target; one that has no word as it is stored."""
    return str(TARGETS.get(kind, kind))
