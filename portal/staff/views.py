"""The pages of the staff console."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Sequence
from typing import Any

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from billing.queries.balances import organization_balance
from billing.queries.debts import debts
from billing.queries.ledger import last_check as last_ledger_check
from billing.queries.ledger import transfers
from billing.queries.plans import subscription
from billing.queries.refunds import disputes, refunds
from billing.services.corrections import REVERSIBLE
from billing.views.ledger import movement
from portal.staff import queries
from portal.staff.acts import ACTS, Doing
from portal.staff.acts.refusals import REFUSALS, refusal_of_act
from portal.staff.forms import MailFilter, OrganizationSearch, ReasonForm
from portal.staff.navigation import Links, links_of
from tenants.errors import TenantsError
from tenants.models import OutboxMail
from tenants.queries.actors import actor_names
from tenants.queries.audit import audit_events
from tenants.queries.audit_chain import chain_of, last_check
from tenants.queries.memberships import members
from tenants.scope import platform_scope
from tenants.services.impersonation import end_impersonation, start_impersonation
from tenants.views.access import with_own_eyes
from tenants.views.audit_words import changes, words_of
from tenants.views.downloads import csv_response
from tenants.views.impersonation import begin, forget, impersonation_of
from tenants.views.staff_access import (
    StaffRequest,
    staff_act_page,
    staff_actor_of,
    staff_organization_page,
    staff_page,
)

PAGE = queries.PAGE
LATEST = 20


@never_cache
@staff_page
@require_safe
def organizations(request: HttpRequest) -> HttpResponse:
    """List organizations with what they have, newest first (`?q=&frozen=&cursor=`)."""
    form = OrganizationSearch(request.GET or None)
    search = _search(form)
    rows = queries.organization_rows(**search, limit=PAGE + 1)
    context = {
        "form": form,
        "filtered": bool(search["text"] or search["frozen"]),
        "rows": rows[:PAGE],
        "next_cursor": rows[PAGE - 1].organization.id if len(rows) > PAGE else None,
        "first": search["before"] is None,
    }
    return page(request, "staff/organizations.html", context)


@never_cache
@staff_page
@require_safe
def organizations_csv(request: HttpRequest) -> HttpResponseBase:
    """Stream the organizations as CSV, with the filters of the list."""
    return csv_response("organizations.csv", _csv_rows(_search(OrganizationSearch(request.GET or None))))


@never_cache
@staff_page
@require_safe
def queue(request: HttpRequest) -> HttpResponse:
    """Show which organizations have unfinished or failed jobs, the longest waiting first."""
    return page(request, "staff/queue.html", {"rows": queries.queue_rows(timezone.now())})


@never_cache
@staff_page
@require_safe
def mails(request: HttpRequest) -> HttpResponse:
    """List the mails of every organization, newest first, without their recipients (`?status=&cursor=`)."""
    form = MailFilter(request.GET or None)
    chosen: dict[str, Any] = form.cleaned_data if form.is_bound and form.is_valid() else {}
    found = queries.mails()
    if chosen.get("status"):
        found = found.filter(status=chosen["status"])
    rows, next_cursor = cut(found, chosen.get("cursor"))
    context = {"form": form, "rows": rows, "next_cursor": next_cursor, "first": not chosen.get("cursor")}
    return page(request, "staff/mails.html", context)


@never_cache
@staff_page
@require_safe
def deeds(request: HttpRequest) -> HttpResponse:
    """List what staff did and looked at, newest first (`?cursor=`)."""
    cursor = _uuid(request.GET.get("cursor", ""))
    events, next_cursor = cut(queries.staff_events(), cursor)
    rows = [{"event": event, "words": words_of(event), "changes": changes(event)} for event in events]
    return page(request, "staff/deeds.html", {"rows": rows, "next_cursor": next_cursor, "first": cursor is None})


@never_cache
@staff_organization_page
@require_safe
def organization(request: StaffRequest) -> HttpResponse:
    """Show an organization: what it has, holds and runs, who belongs to it, which mails it gets."""
    seen = request.organization_seen
    latest = list(transfers(seen.id)[:LATEST])
    names = actor_names(transfer.actor for transfer in latest)
    context = {
        "subscription": subscription(),
        "balance": organization_balance(seen.id),
        "ledger_check": last_ledger_check(seen.id),
        "audit_check": last_check(seen.id),
        "members": members(),
        "debts": list(debts(seen.id)[:LATEST]),
        "payments": queries.paid_payments(seen.id, LATEST),
        "disputes": list(disputes(seen.id)[:LATEST]),
        "refunds": list(refunds(seen.id)[:LATEST]),
        "holds": queries.open_holds(seen.id),
        "unfinished": queries.unfinished_jobs(seen.id),
        "jobs": queries.last_jobs(seen.id, LATEST),
        "movements": [movement(transfer, names) for transfer in latest],
        "mails": list(OutboxMail.objects.filter(organization_id=seen.id).order_by("-id")[:LATEST]),
        "deliveries": queries.last_deliveries(seen.id, LATEST),
        "reversible": REVERSIBLE,
    }
    return page(request, "staff/organization.html", context)


@never_cache
@staff_organization_page
@require_safe
def organization_audit(request: StaffRequest) -> HttpResponse:
    """Show an organization's audit log, newest first (`?cursor=`)."""
    cursor = _uuid(request.GET.get("cursor", ""))
    events, next_cursor = cut(audit_events(request.organization_seen.id), cursor)
    context = {
        "rows": [{"event": event, "words": words_of(event), "changes": changes(event)} for event in events],
        "next_cursor": next_cursor,
        "first": cursor is None,
        "check": last_check(request.organization_seen.id),
        "chain": chain_of(request.organization_seen.id),
    }
    return page(request, "staff/organization_audit.html", context)


@never_cache
@staff_act_page
@with_own_eyes
@require_http_methods(["GET", "HEAD", "POST"])
def act(request: StaffRequest, act: str, target_id: uuid.UUID | None = None) -> HttpResponse:
    """Do something to an organization: the form, then what it will do in numbers, then the doing."""
    kind = ACTS.get(act)
    if kind is None:
        raise Http404
    now = timezone.now()
    doable = kind(request.organization_seen, target_id)
    form = kind.form(request.POST or None)
    context: dict[str, Any] = {"act": doable, "form": form}
    if request.method == "POST" and form.is_valid():
        if "confirmed" in request.POST:
            try:
                done = doable.do_once(form, _doing(request, form, now))
            except REFUSALS as error:
                messages.error(request, refusal_of_act(error))
            else:
                if done is None:
                    messages.warning(request, _("This form was sent already. Nothing was done a second time."))
                else:
                    messages.success(request, done)
            return redirect("staff_organization", request.organization_seen.id)
        context["consequence"] = doable.consequence(form, now)
    return page(request, "staff/act.html", context)


@never_cache
@staff_act_page
@require_http_methods(["GET", "HEAD", "POST"])
def impersonate(request: StaffRequest, membership_id: uuid.UUID) -> HttpResponse:
    """Begin to see the organization as a member does: for a reason, for half an hour, without changing anything."""
    form = ReasonForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        try:
            impersonation = start_impersonation(
                organization_id=request.organization_seen.id,
                membership_id=membership_id,
                current=impersonation_of(request),
                reason=form.cleaned_data["reason"],
                actor=staff_actor_of(request),
                now=timezone.now(),
            )
        except TenantsError as error:
            messages.error(request, str(error))
            return redirect("staff_organization", request.organization_seen.id)
        begin(request, impersonation)
        return redirect("overview", impersonation.slug)
    return page(request, "staff/impersonate.html", {"form": form})


@never_cache
@staff_page
@require_POST
def impersonation_end(request: HttpRequest) -> HttpResponse:
    """Stop looking with somebody's eyes."""
    impersonation = impersonation_of(request)
    if impersonation is None:
        return redirect("staff_organizations")
    forget(request)
    end_impersonation(impersonation=impersonation, actor=staff_actor_of(request), now=timezone.now())
    messages.success(request, _("You look with your own eyes again."))
    return redirect("staff_organization", impersonation.organization_id)


def page(request: HttpRequest, template: str, context: dict[str, Any]) -> HttpResponse:
    """Render a page of the staff console, with its sidebar."""
    links: Links = links_of(request)
    seen = getattr(request, "organization_seen", None)
    return render(request, template, {"links": links, "organization": seen, **context})


def _doing(request: StaffRequest, form: ReasonForm, now: Any) -> Doing:
    return Doing(request.organization_seen.id, form.cleaned_data["reason"], staff_actor_of(request), now)


def _search(form: OrganizationSearch) -> dict[str, Any]:
    chosen: dict[str, Any] = form.cleaned_data if form.is_bound and form.is_valid() else {}
    return {
        "text": chosen.get("q", ""),
        "frozen": chosen.get("frozen", False),
        "before": chosen.get("cursor"),
    }


def _csv_rows(search: dict[str, Any]) -> Iterator[Sequence[Any]]:
    yield ["id", "name", "short_name", "opened_at", "frozen_at", "members", "tokens", "held"]
    while True:
        with platform_scope("staff: organizations as CSV"):
            rows = queries.organization_rows(**search, limit=500)
        for row in rows:
            seen = row.organization
            yield [seen.id, seen.name, seen.slug, seen.created_at.isoformat(),
                   seen.frozen_at.isoformat() if seen.frozen_at else "", row.members,
                   _decimal(row.posted_mtok), _decimal(row.held_mtok)]  # fmt: skip
        if len(rows) < 500:
            return
        search["before"] = rows[-1].organization.id


def _decimal(mtok: int) -> str:
    return f"{mtok // 1000}.{mtok % 1000:03d}"


def cut(found: Any, cursor: uuid.UUID | None) -> tuple[list[Any], uuid.UUID | None]:
    """Return a page of rows that are ordered by id, latest first, and where the next one begins."""
    rows = list((found.filter(id__lt=cursor) if cursor else found)[: PAGE + 1])
    return rows[:PAGE], rows[PAGE - 1].id if len(rows) > PAGE else None


def _uuid(text: str) -> uuid.UUID | None:
    try:
        return uuid.UUID(text)
    except ValueError:
        return None
