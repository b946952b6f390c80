"""The journal of an organization: every movement of its Tokens, with its entries."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from typing import Any

from django import forms
from django.http import HttpResponse, HttpResponseBase
from django.shortcuts import render
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from billing.enums import SYSTEM_KINDS, TransferKind
from billing.models import Account, Entry, Transfer
from billing.queries.exports import entry_rows
from billing.queries.ledger import last_check, transfer_page
from tenants.actors import PLATFORM, ActorKind
from tenants.days import DayField
from tenants.named import NamedRowField
from tenants.queries.actors import actor_names
from tenants.views.access import ConsoleRequest, console_page
from tenants.views.downloads import csv_response
from tenants.wording import listed

PAGE = 25


class LedgerFilter(forms.Form):
    """What of the journal is shown. Days are UTC; both ends are included."""

    kind = forms.ChoiceField(
        label=gettext_lazy("Kind"), required=False, choices=[("", gettext_lazy("All")), *TransferKind.choices]
    )
    account = NamedRowField(
        Account.objects.exclude(kind__in=SYSTEM_KINDS), by="label", label=gettext_lazy("Account"), required=False
    )
    since = DayField(label=gettext_lazy("From"), required=False)
    until = DayField(label=gettext_lazy("To"), required=False)
    cursor = forms.UUIDField(required=False, widget=forms.HiddenInput)

    def criteria(self) -> dict[str, Any]:
        """Return the arguments of `billing.queries.ledger.transfer_page`; what is not valid is left out."""
        chosen: dict[str, Any] = self.cleaned_data if self.is_bound and self.is_valid() else {}
        since, until = chosen.get("since"), chosen.get("until")
        return {
            "kind": TransferKind(chosen["kind"]) if chosen.get("kind") else None,
            "account_id": chosen["account"].id if chosen.get("account") else None,
            "since": datetime.combine(since, time(), UTC) if since else None,
            "until": datetime.combine(until + timedelta(days=1), time(), UTC) if until else None,
        }


@dataclass(frozen=True)
class Movement:
    """A transfer as one line: so much (mtok), from these accounts to those, moved by `actor` (a name, or nothing)."""

    transfer: Transfer
    mtok: int
    sources: str
    targets: str
    entries: list[Entry]
    actor: str


def movement(transfer: Transfer, names: dict[str, str]) -> Movement:
    """Sum up a transfer whose entries are prefetched; `names` as `actor_names` returns them."""
    entries = list(transfer.entries.all())
    taken = dict.fromkeys(str(entry.account) for entry in entries if entry.amount_mtok < 0)
    given = dict.fromkeys(str(entry.account) for entry in entries if entry.amount_mtok > 0)
    mtok = sum(entry.amount_mtok for entry in entries if entry.amount_mtok > 0)
    return Movement(transfer, mtok, listed(taken), listed(given), entries, _actor(transfer.actor, names))


def _actor(actor: str, names: dict[str, str]) -> str:
    if actor == str(PLATFORM):
        return _("the platform")
    if actor.startswith(f"{ActorKind.USER}:"):
        return names.get(actor) or _("somebody who has left")
    return names.get(actor, actor)


@console_page("ledger.view")
def ledger(request: ConsoleRequest) -> HttpResponse:
    """Show the journal, latest first, 25 transfers a page (`?kind=&account=&since=&until=&cursor=`)."""
    form = LedgerFilter(request.GET or None)
    criteria = form.criteria()
    cursor = form.cleaned_data.get("cursor") if form.is_bound else None
    rows = transfer_page(request.organization.id, **criteria, before=cursor, limit=PAGE + 1)
    names = actor_names(row.actor for row in rows)
    context = {
        "form": form,
        "filtered": any(criteria.values()),
        "movements": [movement(row, names) for row in rows[:PAGE]],
        "next_cursor": rows[PAGE - 1].id if len(rows) > PAGE else None,
        "first": not cursor,
        "check": last_check(request.organization.id),
    }
    return render(request, "billing/ledger.html", context)


@console_page("ledger.view")
def ledger_csv(request: ConsoleRequest) -> HttpResponseBase:
    """Stream the journal as CSV, one line for each entry, with the filters of the page."""
    form = LedgerFilter(request.GET or None)
    rows = entry_rows(request.organization.id, **form.criteria())
    return csv_response(f"ledger-{request.organization.slug}.csv", rows)
