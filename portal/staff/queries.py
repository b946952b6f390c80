"""What the staff console lists. The first ones need the platform's scope, the others an organization's."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db import connection
from django.db.models import Count, Min, Q, QuerySet

from billing.enums import EventStatus, HoldStatus
from billing.models import Hold, Lot, Payment, ReconciliationRun, StripeEvent, WebhookDelivery
from detection.enums import JobStatus
from detection.models import Job, WaitingInput
from tenants.actors import ActorKind
from tenants.identifiers import first_id_at
from tenants.models import AuditEvent, Membership, Organization, OutboxMail

PAGE = 50
# Not an IN, which would read the whole log: each of the two has an index of its own.
UNDER_WAY = Q(status=JobStatus.QUEUED) | Q(status=JobStatus.RUNNING)


@dataclass(frozen=True)
class OrganizationRow:
    """An organization in a list: what it has (mtok), how many members, when it was opened."""

    organization: Organization
    members: int
    posted_mtok: int
    held_mtok: int


@dataclass(frozen=True)
class QueueRow:
    """What of an organization is unfinished, and how many of its jobs failed in the last hour."""

    organization: Organization
    queued: int
    running: int
    failed: int
    oldest_at: datetime | None


def organization_rows(
    *, text: str = "", frozen: bool = False, before: uuid.UUID | None = None, limit: int = PAGE
) -> list[OrganizationRow]:
    """Return organizations, newest first: by name, short name, id, or a member's mail address."""
    found = Organization.objects.order_by("-id")
    if text:
        members = Membership.objects.filter(user__email__icontains=text).values("organization_id")
        anywhere = Q(name__icontains=text) | Q(slug__icontains=text) | Q(id__in=members)
        found = found.filter(anywhere)
    if frozen:
        found = found.filter(frozen_at__isnull=False)
    if before is not None:
        found = found.filter(id__lt=before)
    page = list(found[:limit])
    ids = [organization.id for organization in page]
    members_of = dict(
        Membership.objects.filter(organization_id__in=ids)
        .values_list("organization_id")
        .annotate(count=Count("id"))
        .order_by()
    )
    owned = _owned(ids)
    return [
        OrganizationRow(organization, members_of.get(organization.id, 0), *owned.get(organization.id, (0, 0)))
        for organization in page
    ]


def queue_rows(now: datetime) -> list[QueueRow]:
    """Return the organizations with unfinished or lately failed jobs, the longest waiting first. At most 200."""
    unfinished: dict[uuid.UUID, dict[str, Any]] = {
        row["organization_id"]: dict(row)
        for row in Job.objects.filter(UNDER_WAY)
        .values("organization_id")
        .annotate(
            queued=Count("id", filter=Q(status=JobStatus.QUEUED)),
            running=Count("id", filter=Q(status=JobStatus.RUNNING)),
            oldest=Min("created_at"),
        )
        .order_by("oldest")[:200]
    }
    failed = dict(
        Job.objects.filter(status=JobStatus.FAILED, id__gte=first_id_at(now - timedelta(hours=1)))
        .values_list("organization_id")
        .annotate(count=Count("id"))
        .order_by("-count")[:200]
    )
    named = Organization.objects.in_bulk({*unfinished, *failed})
    nothing: dict[str, Any] = {"queued": 0, "running": 0, "oldest": None}
    rows = [
        QueueRow(organization, row["queued"], row["running"], failed.get(key, 0), row["oldest"])
        for key, organization in named.items()
        for row in [unfinished.get(key, nothing)]
    ]
    return sorted(rows, key=lambda row: (row.oldest_at is None, row.oldest_at or now, -row.failed))


def staff_events() -> QuerySet[AuditEvent]:
    """Return what staff did and looked at, in every organization, newest first."""
    return AuditEvent.objects.filter(actor_kind=ActorKind.STAFF).select_related("organization").order_by("-id")


def mails() -> QuerySet[OutboxMail]:
    """Return the mails of every organization, newest first."""
    return OutboxMail.objects.select_related("organization").order_by("-id")


def open_holds(organization_id: uuid.UUID, limit: int = PAGE) -> list[Hold]:
    """Return an organization's open holds, the one that ends first at the top, each with `job` (None: no such job)."""
    holds = list(
        Hold.objects.filter(organization_id=organization_id, status=HoldStatus.HELD)
        .select_related("account")
        .order_by("deadline")[:limit]
    )
    jobs = Job.objects.filter(organization_id=organization_id, id__in=[hold.owner_id for hold in holds])
    by_id = {job.id: job for job in jobs.only("id", "status", "organization_id")}
    for hold in holds:
        hold.job = by_id.get(hold.owner_id)  # type: ignore[attr-defined]
    return holds


def alarmed_payments(limit: int = PAGE) -> list[Payment]:
    """Return the payments that were not as ordered, newest first, with their organizations."""
    return list(Payment.objects.exclude(alarm="").select_related("organization").order_by("-id")[:limit])


def stripe_events(*, status: str = "", before: uuid.UUID | None = None, limit: int = PAGE) -> list[StripeEvent]:
    """Return events of Stripe's, newest first, without what they say."""
    found = StripeEvent.objects.defer("payload").order_by("-id")
    if status:
        found = found.filter(status=status)
    return list((found.filter(id__lt=before) if before else found)[:limit])


def failed_event_count() -> int:
    """Return how many events failed and were not processed since."""
    return StripeEvent.objects.filter(status=EventStatus.FAILED).count()


def stripe_event(event_id: uuid.UUID) -> StripeEvent | None:
    """Return an event."""
    return StripeEvent.objects.filter(id=event_id).first()


def reconciliations(limit: int = 14) -> list[ReconciliationRun]:
    """Return the last comparisons of Stripe's payments with the ledger, newest first."""
    return list(ReconciliationRun.objects.order_by("-began_at")[:limit])


def unfinished_jobs(organization_id: uuid.UUID, limit: int = PAGE) -> list[Job]:
    """Return an organization's jobs that wait, for Tokens or for a worker, or run, oldest first."""
    waiting = WaitingInput.objects.filter(organization_id=organization_id).order_by("id").values_list("id", flat=True)
    found = Job.objects.filter(UNDER_WAY | Q(id__in=list(waiting[:limit])), organization_id=organization_id)
    return list(found.select_related("model_version__model", "sub_token").order_by("id")[:limit])


def last_jobs(organization_id: uuid.UUID, limit: int = 20) -> list[Job]:
    """Return an organization's latest jobs."""
    found = Job.objects.filter(organization_id=organization_id)
    return list(found.select_related("model_version__model", "sub_token").order_by("-id")[:limit])


def paid_payments(organization_id: uuid.UUID, limit: int = 20) -> list[Payment]:
    """Return an organization's latest payments that were made."""
    return list(Payment.objects.filter(organization_id=organization_id, status="paid").order_by("-id")[:limit])


def last_deliveries(organization_id: uuid.UUID, limit: int = 20) -> list[WebhookDelivery]:
    """Return the latest events to an organization's webhooks, with their endpoints."""
    found = WebhookDelivery.objects.filter(organization_id=organization_id).select_related("endpoint")
    return list(found.order_by("-id")[:limit])


def _owned(ids: list[uuid.UUID]) -> dict[uuid.UUID, tuple[int, int]]:
    """Return what organizations own and have held, in mtok."""
    table = Lot._meta.db_table
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT org_id, coalesce(sum(posted_mtok), 0)::bigint, coalesce(sum(held_mtok), 0)::bigint"  # noqa: S608
            f" FROM {table} WHERE org_id = ANY (%s) AND NOT spent GROUP BY org_id",
            [ids],
        )
        return {organization_id: (posted, held) for organization_id, posted, held in cursor.fetchall()}
