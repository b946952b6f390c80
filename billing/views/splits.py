"""Splitting an account's Tokens into many sub-tokens: worked out first, then made in one act."""

from __future__ import annotations

import csv
import io
import uuid
from collections.abc import Sequence
from typing import Any

from django.http import HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST

from billing.errors import LedgerError, SubTokenError
from billing.queries.grants import lots_of
from billing.queries.tree import Node
from billing.services.splits import Share, split
from billing.services.sub_tokens import IssuedSubToken
from billing.split_forms import SplitForm
from billing.views.refusals import in_tokens, refusal
from billing.views.splitting import address_of, tree
from tenants.views.access import ConsoleRequest, actor_of, console_page
from tenants.views.downloads import harmless

SHOWN = 20


@console_page("sub_tokens.manage")
@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
def splitting_split(request: ConsoleRequest, account_id: uuid.UUID) -> HttpResponse:
    """Split an account's Tokens into sub-tokens; the answer is the one page that ever shows their secrets."""
    root, node = tree(request, account_id)
    form = _form(request, node)
    context = {"node": node, "form": form, "above": [*node.above(), node], "back": address_of(request, root, node)}
    if request.method == "POST" and node.sub_token_id is None and form.is_valid():
        now = timezone.now()
        try:
            shares = form.shares(now)
            issued = split(
                organization_id=request.organization.id,
                account_id=account_id,
                grant_id=uuid.UUID(form.cleaned_data["grant"]) if form.cleaned_data["grant"] else None,
                shares=shares,
                actor=actor_of(request),
                now=now,
            )
        except (LedgerError, SubTokenError) as error:
            form.add_error(None, refusal(error))
        else:
            return render(request, "billing/split_done.html", context | _made(shares, issued))
    return render(request, "billing/split.html", context)


@console_page("sub_tokens.manage")
@require_POST
def splitting_split_preview(request: ConsoleRequest, account_id: uuid.UUID) -> HttpResponse:
    """Answer, to the thousandth, what each part would get; nothing moves and nothing is made."""
    _root, node = tree(request, account_id)
    form = _form(request, node)
    context: dict[str, Any] = {"node": node, "form": form, "shares": [], "problems": []}
    if form.is_valid():
        try:
            shares = form.shares(timezone.now())
        except (LedgerError, SubTokenError) as error:
            context["problems"] = [str(error)]
        else:
            total, free = sum(share.mtok for share in shares), _free(node, form.cleaned_data["grant"])
            if total > free:
                context["problems"] = [_("Only %(tokens)s Tokens are free.") % {"tokens": in_tokens(free)}]
            context |= {
                "shares": shares[:SHOWN],
                "more": max(len(shares) - SHOWN, 0),
                "count": len(shares),
                "total_mtok": total,
                "left_mtok": free - total,
                "least_mtok": min(share.mtok for share in shares),
                "most_mtok": max(share.mtok for share in shares),
            }
    else:
        context["problems"] = [message for errors in form.errors.values() for message in errors]
    return render(request, "billing/_split_preview.html", context)


def _form(request: ConsoleRequest, node: Node) -> SplitForm:
    grants = lots_of(_payer(node).account_id, now=timezone.now())
    names = {
        grant.id: _("%(source)s: %(tokens)s Tokens free, %(end)s")
        % {
            "source": grant.source_label,
            "tokens": in_tokens(grant.remaining_mtok),
            "end": _("until %(day)s") % {"day": date_format(grant.expires_at, "DATE_FORMAT")}
            if grant.expires_at
            else _("without end"),
        }
        for grant in grants
    }
    if request.method == "POST":
        return SplitForm(request.POST, request.FILES, grants=grants, names=names)
    return SplitForm(grants=grants, names=names)


def _payer(node: Node) -> Node:
    """Return the node whose own Tokens a capped one draws on."""
    while node.is_capped and node.parent is not None:
        node = node.parent
    return node


def _free(node: Node, grant_id: str) -> int:
    if not grant_id:
        return node.available_mtok
    lots = lots_of(_payer(node).account_id, now=timezone.now())
    return min(node.available_mtok, sum(lot.remaining_mtok for lot in lots if str(lot.id) == grant_id))


def _made(shares: Sequence[Share], issued: Sequence[IssuedSubToken]) -> dict[str, Any]:
    lines = io.StringIO()
    writer = csv.writer(lines)
    writer.writerow(["name", "secret", "tokens", "expires_at", "id"])
    for share, one in zip(shares, issued, strict=True):
        tokens = f"{share.mtok // 1000}.{share.mtok % 1000:03d}"
        writer.writerow(
            [harmless(share.name), one.secret, tokens, one.sub_token.expires_at.isoformat(), one.sub_token.id]
        )
    return {
        "csv": lines.getvalue(),
        "count": len(issued),
        "total_mtok": sum(share.mtok for share in shares),
        "rows": [(share, one.sub_token) for share, one in zip(shares, issued, strict=True)][:SHOWN],
        "more": max(len(issued) - SHOWN, 0),
    }
