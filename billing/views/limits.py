"""What the organization, its teams and its sub-tokens may use at most, and how far that is used."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Sequence
from typing import Any

from django.contrib import messages
from django.http import Http404, HttpResponse, HttpResponseBase
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_safe

from billing.enums import AccountKind
from billing.forms_limits import LimitsFilter, LimitsForm
from billing.models import Account
from billing.queries.limits import LimitedAccounts, account_limits, limited_accounts
from billing.services.limits import current_ceilings, set_limits
from billing.services.pools import open_pool
from billing.services.rate import requests_today
from tenants.models import Team
from tenants.permissions import Permission
from tenants.scope import organization_scope
from tenants.views.access import ConsoleRequest, actor_of, console_page
from tenants.views.downloads import csv_response

PAGE = 100
CSV_COLUMNS = ["account", "level", "name", "limit", "ceiling", "used", "resets_at"]


@console_page("limits.view")
@require_safe
def limits(request: ConsoleRequest) -> HttpResponse:
    """List the organization, its teams, and sub-tokens: those with limits, or all (`?q=&level=&show=&cursor=`)."""
    form = LimitsFilter(request.GET or None)
    now = timezone.now()
    found = _chosen(form, before=_uuid(request.GET.get("cursor", "")))
    rows = account_limits(found.accounts, now=now)
    today = requests_today(request.organization.id, rows, now=now)
    context = {
        "form": form,
        "rows": [{"row": row, "today": today.get(row.account.id)} for row in rows],
        "teams_without_pool": [] if form.is_bound else Team.objects.exclude(id__in=_teams_with_pool()).order_by("name"),
        "filtered": form.is_bound and form.is_valid() and any(form.cleaned_data.values()),
        "next_cursor": found.next_cursor,
        "first": "cursor" not in request.GET,
        "may_manage": Permission.LIMITS_MANAGE in request.permissions,
    }
    return render(request, "billing/limits.html", context)


@console_page("limits.view")
@require_safe
def limits_csv(request: ConsoleRequest) -> HttpResponseBase:
    """Download all limits of Tokens and requests with what is used, one a row, with the filters of the list."""
    rows = _csv_rows(request.organization.id, LimitsFilter(request.GET or None))
    return csv_response(f"limits-{request.organization.slug}.csv", rows)


@console_page("limits.manage")
@require_http_methods(["GET", "HEAD", "POST"])
def limits_edit(request: ConsoleRequest, account_id: uuid.UUID) -> HttpResponse:
    """Set the limits of the organization's wallet, a team's pool or a sub-token's account."""
    account = Account.objects.filter(
        id=account_id, kind__in=[AccountKind.ORG_WALLET, AccountKind.TEAM_POOL, AccountKind.SUB_TOKEN]
    ).first()
    if account is None:
        raise Http404
    return _edit(request, account, None)


@console_page("limits.manage")
@require_http_methods(["GET", "HEAD", "POST"])
def limits_edit_team(request: ConsoleRequest, team_id: uuid.UUID) -> HttpResponse:
    """Set the limits of a team; one that has no pool yet gets one that draws on what is above it."""
    team = Team.objects.filter(id=team_id).first()
    if team is None:
        raise Http404
    account = Account.objects.filter(kind=AccountKind.TEAM_POOL, team=team).first()
    return _edit(request, account, team)


def _edit(request: ConsoleRequest, account: Account | None, team: Team | None) -> HttpResponse:
    now, actor = timezone.now(), actor_of(request)
    initial = LimitsForm.initial_of(current_ceilings(account)) if account else {}
    form = LimitsForm(request.POST or None, initial=initial)
    if request.method == "POST" and form.is_valid():
        if account is None:
            assert team is not None, "a page without an account is a team's"
            account = open_pool(team_id=team.id, actor=actor, now=now)
        set_limits(account_id=account.id, ceilings=form.ceilings(), actor=actor, now=now)
        messages.success(request, _("The limits are set. They bind from the next call on."))
        return redirect("limits", request.organization.slug)
    row = account_limits([account], now=now)[0] if account else None
    return render(request, "billing/limits_edit.html", {"form": form, "row": row, "team": team})


def _chosen(form: LimitsFilter, *, before: uuid.UUID | None = None, limit: int = PAGE) -> LimitedAccounts:
    chosen: dict[str, Any] = form.cleaned_data if form.is_bound and form.is_valid() else {}
    return limited_accounts(
        name=chosen.get("q") or "",
        level=chosen.get("level") or None,
        everything=chosen.get("show") == "all",
        before=before,
        limit=limit,
    )


def _teams_with_pool() -> Any:
    return Account.objects.filter(kind=AccountKind.TEAM_POOL, team__isnull=False).values("team_id")


def _csv_rows(organization_id: uuid.UUID, form: LimitsFilter) -> Iterator[Sequence[Any]]:
    yield CSV_COLUMNS
    before = None
    while True:
        with organization_scope(organization_id):
            now = timezone.now()
            found = _chosen(form, before=before)
            rows = account_limits(found.accounts, now=now)
            today = requests_today(organization_id, rows, now=now)
        for row in rows:
            start = [row.account.id, row.level.value, row.name]
            for state in row.states:
                ends_at = state.ends_at.isoformat() if state.ends_at else ""
                yield [*start, state.name, _decimal(state.ceiling_mtok), _decimal(state.used_mtok), ends_at]
            for name, ceiling in row.bounds.items():
                yield [*start, name, ceiling, today.get(row.account.id, "") if name == "requests_per_day" else "", ""]
        if found.next_cursor is None:
            return
        before = found.next_cursor


def _decimal(mtok: int) -> str:
    return f"{mtok // 1000}.{mtok % 1000:03d}"


def _uuid(text: str) -> uuid.UUID | None:
    try:
        return uuid.UUID(text)
    except ValueError:
        return None
