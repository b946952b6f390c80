"""The mails that the portal owes or has sent, for staff. Every function needs the platform's door."""

from __future__ import annotations

from django.db.models import Count, QuerySet

from tenants.models import OutboxMail


def outbox_mails(*, status: str = "", recipient: str = "") -> QuerySet[OutboxMail]:
    """Return the mails of 90 days with their organizations, latest first, of one status or recipient if asked."""
    mails = OutboxMail.objects.select_related("organization").order_by("-id")
    if status:
        mails = mails.filter(status=status)
    return mails.filter(recipient__icontains=recipient) if recipient else mails


def outbox_counts() -> dict[str, int]:
    """Return how many mails there are of each status: queued, sent, failed."""
    return dict(OutboxMail.objects.values_list("status").annotate(count=Count("id")).order_by())
