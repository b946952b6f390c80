"""Small things that every page words alike."""

from __future__ import annotations

from collections.abc import Iterable

from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext

# What staff and the audit log call a mail, by the name of its template in templates/mail/.
MAILS = {
    "account": _("Account"),
    "alert": _("Alert"),
    "alert_digest": _("Daily digest of alerts"),
    "auto_top_up": _("Automatic top-up"),
    "invitation": _("Invitation"),
    "organization_closing": _("Deletion of the organization"),
    "ownership_offer": _("Offer of the organization"),
    "payment_failed": _("Failed payment"),
    "payment_paid": _("Receipt of a payment"),
    "plan_ended": _("End of a plan"),
    "plan_overdue": _("Overdue payment of a plan"),
    "staff_dispute": _("Dispute, for the staff"),
}


def listed(parts: Iterable[object]) -> str:
    """Return things as the language lists them: "a, b, c"."""
    return pgettext("between the parts of a list", ", ").join(str(part) for part in parts)
