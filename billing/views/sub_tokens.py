"""Sub-tokens: listed, made, shown, filled and emptied."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Sequence
from datetime import UTC, timedelta
from typing import Any

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.translation import gettext as _
from django.utils.translation import pgettext
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from billing.enums import SubTokenMode
from billing.errors import LedgerError, SubTokenError
from billing.forms import AmountForm, ReclaimForm, SubTokenFilter, SubTokenForm
from billing.life_forms import BulkForm
from billing.models import SubToken
from billing.queries.balances import balance
from billing.queries.pools import wallet
from billing.queries.sub_tokens import SubTokenSearch, SubTokenState, search_sub_tokens, state, states
from billing.queries.usage import daily_burn
from billing.services import sub_tokens as service
from billing.views.refusals import in_tokens, refusal
from tenants.forms import GraceForm
from tenants.permissions import Permission
from tenants.queries.pages import Order, page_after
from tenants.scope import organization_scope
from tenants.views.access import ConsoleRequest, actor_of, console_page
from tenants.views.downloads import csv_response

DAYS = 30
PAGE = 100
CSV_PAGE = 500
CSV_COLUMNS = [
    "id",
    "name",
    "prefix",
    "team",
    "status",
    "mode",
    "tokens",
    "remaining",
    "held",
    "used",
    "expires_at",
    "last_used_at",
    "last_used_ip",
    "tags",
    "created_by",
    "created_at",
]


@console_page("sub_tokens.view")
@require_safe
def sub_token_list(request: ConsoleRequest) -> HttpResponse:
    """List the sub-tokens, 100 a page (`?q=&status=&team=&tag=name=value&sort=&cursor=`)."""
    form, now = SubTokenFilter(request.GET), timezone.now()
    search, cursor = form.search(), form.chosen.get("cursor")
    found, next_cursor = page_after(search_sub_tokens(search, now=now), order=form.order(), cursor=cursor, limit=PAGE)
    context = {
        "form": form,
        "rows": states(found, now=now),
        "filtered": bool(search),
        "next_cursor": next_cursor,
        "first": cursor is None,
        "bulk_form": BulkForm(None, auto_id="bulk-%s"),
        "may_manage": Permission.SUB_TOKENS_MANAGE in request.permissions,
    }
    return render(request, "billing/sub_tokens.html", context)


@console_page("sub_tokens.view")
@require_safe
def sub_tokens_csv(request: ConsoleRequest) -> HttpResponseBase:
    """Download the sub-tokens as CSV, with the filters of the list."""
    form = SubTokenFilter(request.GET)
    rows = _csv_rows(request.organization.id, form.search(), form.order())
    return csv_response(f"sub-tokens-{request.organization.slug}.csv", rows)


@console_page("sub_tokens.manage")
@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
def sub_token_new(request: ConsoleRequest) -> HttpResponse:
    """Make a sub-token; the answer is the one page that ever shows its secret."""
    form = SubTokenForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        now = timezone.now()
        chosen = form.cleaned_data
        try:
            issued = service.create_sub_token(
                organization_id=request.organization.id,
                name=chosen["name"],
                mode=SubTokenMode(chosen["mode"]),
                mtok=chosen["tokens"],
                team_id=chosen["team"].id if chosen["team"] else None,
                expires_at=form.expires_at(now),
                policy=form.policy(),
                actor=actor_of(request),
                now=now,
            )
        except (LedgerError, SubTokenError) as error:
            form.add_error("tokens", refusal(error))
        else:
            context = {"sub_token": issued.sub_token, "secret": issued.secret, "base_url": base_url(request)}
            return render(request, "billing/sub_token_created.html", {**context, "first": True})
    available = balance(wallet().id).available_mtok
    return render(request, "billing/sub_token_new.html", {"form": form, "available_mtok": available})


@console_page("sub_tokens.view")
@require_safe
def sub_token(request: ConsoleRequest, sub_token_id: uuid.UUID) -> HttpResponse:
    """Show one sub-token: what it has, its policy, and how it is called."""
    found = find(sub_token_id)
    now = timezone.now()
    may_manage = Permission.SUB_TOKENS_MANAGE in request.permissions
    context = {
        "sub_token": found,
        "state": state(found, now=now),
        "chart": _usage_chart(request.organization.id, found),
        "may_manage": may_manage,
        "allocate_form": AmountForm(auto_id="allocate-%s") if may_manage else None,
        "reclaim_form": ReclaimForm(auto_id="reclaim-%s") if may_manage else None,
        "rotate_form": GraceForm(auto_id="rotate-%s") if may_manage else None,
        "parent_available_mtok": balance(found.account.parent_id).available_mtok if found.account.parent_id else 0,
        "base_url": base_url(request),
    }
    return render(request, "billing/sub_token.html", context)


@console_page("sub_tokens.manage")
@require_POST
def sub_token_allocate(request: ConsoleRequest, sub_token_id: uuid.UUID) -> HttpResponse:
    """Give a sub-token more Tokens, or a higher quota (`tokens`)."""
    found = find(sub_token_id)
    form = AmountForm(request.POST)
    if not form.is_valid():
        messages.error(request, _("That is not an amount of Tokens: enter a number above 0 with at most 3 decimals."))
    else:
        try:
            service.allocate_to_sub_token(
                sub_token_id=found.id, mtok=form.cleaned_data["tokens"], actor=actor_of(request), now=timezone.now()
            )
        except (LedgerError, SubTokenError) as error:
            messages.error(request, refusal(error))
        else:
            messages.success(
                request, _("%(tokens)s Tokens added.") % {"tokens": in_tokens(form.cleaned_data["tokens"])}
            )
    return redirect("sub_token", request.organization.slug, found.id)


@console_page("sub_tokens.manage")
@require_POST
def sub_token_reclaim(request: ConsoleRequest, sub_token_id: uuid.UUID) -> HttpResponse:
    """Take a sub-token's free Tokens, or quota, back (`tokens`; empty takes all that is free)."""
    found = find(sub_token_id)
    form = ReclaimForm(request.POST)
    if not form.is_valid():
        messages.error(request, _("That is not an amount of Tokens: enter a number above 0 with at most 3 decimals."))
    else:
        try:
            _token, taken = service.reclaim_from_sub_token(
                sub_token_id=found.id, mtok=form.cleaned_data["tokens"], actor=actor_of(request), now=timezone.now()
            )
        except (LedgerError, SubTokenError) as error:
            messages.error(request, refusal(error))
        else:
            messages.success(request, _("%(tokens)s Tokens taken back.") % {"tokens": in_tokens(taken)})
    return redirect("sub_token", request.organization.slug, found.id)


def base_url(request: HttpRequest) -> str:
    """Return the address of this portal as the caller reached it, for examples that work when copied."""
    return request.build_absolute_uri("/").rstrip("/")


def find(sub_token_id: uuid.UUID) -> SubToken:
    """Return a sub-token with its account and team, or answer 404."""
    found = SubToken.objects.select_related("account", "team").filter(id=sub_token_id).first()
    if found is None:
        raise Http404
    return found


def _csv_rows(organization_id: uuid.UUID, search: SubTokenSearch, order: Order) -> Iterator[Sequence[Any]]:
    yield CSV_COLUMNS
    now, cursor = timezone.now(), None
    while True:
        with organization_scope(organization_id):
            page, cursor = page_after(search_sub_tokens(search, now=now), order=order, cursor=cursor, limit=CSV_PAGE)
            rows = states(page, now=now)
        for row in rows:
            yield _csv_row(row)
        if cursor is None:
            return


def _csv_row(row: SubTokenState) -> list[Any]:
    token = row.sub_token
    return [
        token.id,
        token.name,
        token.prefix,
        token.team.name if token.team else "",
        row.status,
        token.mode,
        decimal(row.total_mtok),
        decimal(row.balance.available_mtok),
        decimal(row.balance.held_mtok),
        decimal(row.used_mtok),
        token.expires_at.isoformat(),
        token.last_used_at.isoformat() if token.last_used_at else "",
        token.last_used_ip or "",
        " ".join(f"{name}={value}" for name, value in token.tags.items()),
        token.created_by,
        token.created_at.isoformat(),
    ]


def decimal(mtok: int | None) -> str:
    """Return mtok as Tokens for a file, with three decimals."""
    return "" if mtok is None else f"{mtok // 1000}.{mtok % 1000:03d}"


def _usage_chart(organization_id: uuid.UUID, token: SubToken) -> dict[str, Any]:
    today = timezone.now().astimezone(UTC).date()
    days = [today - timedelta(days=back) for back in range(DAYS - 1, -1, -1)]
    burned = {
        row.day: row.captured_mtok
        for row in daily_burn(organization_id, first_day=days[0], last_day=days[-1], account_id=token.account_id)
    }
    total = sum(burned.values())
    return {
        "title": _("%(tokens)s Tokens spent in 30 days") % {"tokens": in_tokens(total)},
        "kind": "bars",
        "unit": "Tok",
        "short": True,
        "labels": [date_format(day, pgettext("day in a chart", "M j")) for day in days],
        "series": [{"name": _("Spent on the day"), "values": [burned.get(day, 0) / 1000 for day in days]}],
    }
