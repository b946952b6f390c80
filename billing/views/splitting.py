"""The splitting page: the tree of accounts as a picture, and sharing Tokens out in it by sliders."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from django.contrib import messages
from django.core.exceptions import ValidationError
from django.core.paginator import Paginator
from django.http import Http404, HttpResponse, HttpResponseBase
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST, require_safe

from billing.errors import LedgerError
from billing.forms import AmountForm, ReclaimForm, TokensField
from billing.queries.tree import Node, account_tree, find_node
from billing.services.rearranging import Arrangement, preview, rearrange
from billing.split_forms import CeilingForm, EndForm, MoveForm, PoolForm
from billing.views.refusals import in_tokens, refusal
from billing.views.tree_picture import picture
from tenants.models import Team
from tenants.permissions import Permission
from tenants.scope import organization_scope
from tenants.views.access import ConsoleRequest, actor_of, console_page
from tenants.views.downloads import csv_response

ROWS = 50
CSV_COLUMNS = [
    "account",
    "parent",
    "kind",
    "mode",
    "name",
    "status",
    "free",
    "held",
    "burned_30_days",
    "ceiling",
    "drawn",
    "free_with_below",
    "held_with_below",
    "burned_with_below",
]


@dataclass(frozen=True)
class Share:
    """A child with its slider: what it has, or may draw, and the most that it could (mtok)."""

    node: Node
    value_mtok: int | None
    most_mtok: int

    @classmethod
    def of(cls, child: Node, parent: Node) -> Share:
        """Return a child's share of what its parent can give."""
        if not child.is_capped:
            return cls(child, child.free_mtok, child.free_mtok + parent.available_mtok)
        return cls(child, child.cap_mtok, max(child.cap_mtok or 0, child.drawn_mtok + parent.available_mtok))


@console_page("ledger.view")
@require_safe
def splitting(request: ConsoleRequest, account_id: uuid.UUID | None = None) -> HttpResponse:
    """Show an account of the tree (the wallet, if unsaid) and what hangs below it (`?q=&page=`)."""
    root, node = tree(request, account_id)
    words = request.GET.get("q", "").strip()
    rows = [child for child in node.children if words.casefold() in child.label.casefold()]
    may_move = Permission.BILLING_MANAGE in request.permissions
    with_pool = {child.team_id for child in node.children if child.is_pool}
    page = Paginator(rows, ROWS).get_page(request.GET.get("page"))
    context = {
        "root": root,
        "node": node,
        "page": page,
        "shares": [Share.of(child, node) for child in page.object_list],
        "words": words,
        "picture": picture(node, lambda below: address_of(request, root, below)),
        "teams_without_pool": [] if node.kind == "sub_token" else _teams_below(node).exclude(id__in=with_pool),
        "may_move": may_move,
        "may_split": Permission.SUB_TOKENS_MANAGE in request.permissions and node.kind != "sub_token",
        "above": node.above(),
    }
    if may_move and not node.is_wallet:
        context |= _acts(node)
    if may_move:
        context["pool_form"] = PoolForm(auto_id="pool-%s")
    return render(request, "billing/splitting.html", context)


@console_page("ledger.view")
@require_safe
def splitting_csv(request: ConsoleRequest) -> HttpResponseBase:
    """Download the whole tree as CSV, each account after the one that it hangs below."""
    return csv_response(f"splitting-{request.organization.slug}.csv", _csv_rows(request.organization.id))


@console_page("billing.manage")
@require_POST
def splitting_preview(request: ConsoleRequest, account_id: uuid.UUID) -> HttpResponse:
    """Answer, to the thousandth, what the sliders would do (`to-<account>`, `was-<account>`); nothing moves."""
    _root, node = tree(request, account_id)
    changes, problems = _asked(request, node)
    arrangement: Arrangement | None = None
    if changes and not problems:
        try:
            arrangement = preview(account_id=account_id, changes=changes, actor=actor_of(request), now=timezone.now())
        except LedgerError as error:
            problems = [refusal(error)]
    context = {"node": node, "problems": problems, "arrangement": arrangement}
    if arrangement:
        context["given_mtok"] = sum(change.mtok for change in arrangement.changes if change.mtok > 0)
        context["taken_mtok"] = -sum(change.mtok for change in arrangement.changes if change.mtok < 0)
    return render(request, "billing/_splitting_preview.html", context)


@console_page("billing.manage")
@require_POST
def splitting_rearrange(request: ConsoleRequest, account_id: uuid.UUID) -> HttpResponse:
    """Do what was previewed (`change-<account>` in mtok, `state`), unless Tokens were moved since."""
    root, node = tree(request, account_id)
    changes = {}
    for child in node.children:
        text = request.POST.get(f"change-{child.account_id}", "")
        if text.removeprefix("-").isdecimal() and text.isascii() and len(text) < 19:
            changes[child.account_id] = int(text)
    try:
        done = rearrange(
            account_id=account_id,
            changes=changes,
            state=request.POST.get("state", ""),
            actor=actor_of(request),
            now=timezone.now(),
        )
    except LedgerError as error:
        messages.error(request, refusal(error))
    else:
        given = sum(change.mtok for change in done.changes if change.mtok > 0)
        taken = -sum(change.mtok for change in done.changes if change.mtok < 0)
        messages.success(
            request,
            _("Done: %(given)s Tokens given, %(taken)s taken back.")
            % {"given": in_tokens(given), "taken": in_tokens(taken)},
        )
    return redirect(address_of(request, root, node))


def tree(request: ConsoleRequest, account_id: uuid.UUID | None) -> tuple[Node, Node]:
    """Return the root of the organization's tree and one node of it (the root, if unsaid), or answer 404."""
    root = account_tree(request.organization.id, now=timezone.now())
    node = root if root is None or account_id is None else find_node(root, account_id)
    if root is None or node is None:
        raise Http404
    return root, node


def address_of(request: ConsoleRequest, root: Node, node: Node) -> str:
    """Return the page of a node."""
    if node is root:
        return reverse("splitting", args=[request.organization.slug])
    return reverse("splitting_node", args=[request.organization.slug, node.account_id])


def _acts(node: Node) -> dict[str, Any]:
    """Return the forms of what can be done to one pool or sub-token, and the numbers that they talk of."""
    assert node.parent is not None, "only the wallet hangs below nothing"
    siblings = [
        sibling
        for sibling in node.parent.children
        if sibling is not node and sibling.mode == node.mode and sibling.closed_at is None
    ]
    below = list(node.walk())
    return {
        "give_form": AmountForm(auto_id="give-%s"),
        "take_form": ReclaimForm(auto_id="take-%s"),
        "move_form": MoveForm(siblings=siblings, auto_id="move-%s") if siblings else None,
        "ceiling_form": CeilingForm(auto_id="ceiling-%s") if node.is_capped else None,
        "end_form": EndForm(auto_id="end-%s") if node.is_pool else None,
        "accounts_with_tokens": sum(1 for one in below if one.free_mtok),
        "living_sub_tokens": sum(1 for one in below if one.sub_token_id and one.revoked_at is None),
    }


def _teams_below(node: Node) -> Any:
    return Team.objects.filter(parent_id=node.team_id if node.is_pool else None).order_by("name")


def _asked(request: ConsoleRequest, node: Node) -> tuple[dict[uuid.UUID, int], list[str]]:
    """Return by how much each child is to change: where its slider was moved, from where the page had put it."""
    field = TokensField(required=False, min_value=0)
    changes: dict[uuid.UUID, int] = {}
    problems = []
    for child in node.children:
        try:
            wanted = field.clean(request.POST.get(f"to-{child.account_id}", ""))
            was = field.clean(request.POST.get(f"was-{child.account_id}", ""))
        except ValidationError as error:
            problems.append(f"{child.label}: {' '.join(error.messages)}")
            continue
        if wanted is not None and was is not None and wanted != was:
            changes[child.account_id] = wanted - was
    return changes, problems


def _csv_rows(organization_id: uuid.UUID) -> Iterator[Sequence[Any]]:
    yield CSV_COLUMNS
    with organization_scope(organization_id):
        root = account_tree(organization_id, now=timezone.now())
    for node in root.walk() if root else ():
        amounts = (node.free_mtok, node.held_mtok, node.burned_mtok, node.cap_mtok, node.drawn_mtok)
        sums = (node.all_free_mtok, node.all_held_mtok, node.all_burned_mtok)
        yield [
            node.account_id,
            node.parent_id,
            node.kind,
            node.mode,
            node.label,
            node.status,
            *map(_decimal, amounts + sums),
        ]


def _decimal(mtok: int | None) -> str:
    return "" if mtok is None else f"{mtok // 1000}.{mtok % 1000:03d}"
