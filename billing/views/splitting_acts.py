"""What is done to one pool or sub-token on the splitting page: give, take back, move, set a ceiling, end."""

from __future__ import annotations

import uuid
from collections.abc import Callable

from django.contrib import messages
from django.http import Http404, HttpResponse
from django.shortcuts import redirect
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.http import require_POST

from billing.enums import SubTokenMode
from billing.errors import AccountUnknown, LedgerError, SubTokenError
from billing.forms import AmountForm, ReclaimForm
from billing.queries.pools import pool_of
from billing.queries.tree import Node
from billing.services import splitting
from billing.services.pools import open_pool
from billing.services.subtrees import reclaim_all
from billing.split_forms import CeilingForm, EndForm, MoveForm, PoolForm
from billing.views.refusals import in_tokens, refusal
from billing.views.splitting import address_of, tree
from tenants.models import Team
from tenants.permissions import Permission
from tenants.views.access import ConsoleRequest, actor_of, console_page, require_permission


@console_page("billing.manage")
@require_POST
def splitting_give(request: ConsoleRequest, account_id: uuid.UUID) -> HttpResponse:
    """Give more from above, or raise the ceiling (`tokens`)."""
    form = AmountForm(request.POST)

    def act(node: Node) -> str:
        mtok = form.cleaned_data["tokens"]
        splitting.give(account_id=account_id, mtok=mtok, actor=actor_of(request), now=timezone.now())
        return _("%(name)s has %(tokens)s Tokens more.") % {"name": node.label, "tokens": in_tokens(mtok)}

    return _answer(request, account_id, form, act)


@console_page("billing.manage")
@require_POST
def splitting_take(request: ConsoleRequest, account_id: uuid.UUID) -> HttpResponse:
    """Take free Tokens, or ceiling, back (`tokens`; empty takes all that is free)."""
    form = ReclaimForm(request.POST)

    def act(node: Node) -> str:
        taken = splitting.take(
            account_id=account_id, mtok=form.cleaned_data["tokens"], actor=actor_of(request), now=timezone.now()
        )
        return _("%(tokens)s Tokens taken back from %(name)s.") % {"name": node.label, "tokens": in_tokens(taken)}

    return _answer(request, account_id, form, act)


@console_page("billing.manage")
@require_POST
def splitting_move(request: ConsoleRequest, account_id: uuid.UUID) -> HttpResponse:
    """Move to a sibling (`to`, `tokens`; empty moves all that is free)."""
    _root, node = tree(request, account_id)
    siblings = node.parent.children if node.parent else []
    form = MoveForm(request.POST, siblings=siblings)

    def act(node: Node) -> str:
        moved = splitting.move(
            from_id=account_id,
            to_id=uuid.UUID(form.cleaned_data["to"]),
            mtok=form.cleaned_data["tokens"],
            actor=actor_of(request),
            now=timezone.now(),
        )
        return _("%(tokens)s Tokens moved from %(name)s to %(to)s.") % {
            "name": node.label,
            "tokens": in_tokens(moved),
            "to": dict(form.fields["to"].choices)[form.cleaned_data["to"]],  # type: ignore[attr-defined]
        }

    return _answer(request, account_id, form, act)


@console_page("billing.manage")
@require_POST
def splitting_ceiling(request: ConsoleRequest, account_id: uuid.UUID) -> HttpResponse:
    """Set the ceiling of a capped one (`tokens`; empty takes it away)."""
    form = CeilingForm(request.POST)

    def act(node: Node) -> str:
        mtok = form.cleaned_data["tokens"]
        splitting.change_ceiling(account_id=account_id, mtok=mtok, actor=actor_of(request), now=timezone.now())
        if mtok is None:
            return _("%(name)s has no ceiling any more.") % {"name": node.label}
        return _("%(name)s may draw %(tokens)s Tokens in all.") % {"name": node.label, "tokens": in_tokens(mtok)}

    return _answer(request, account_id, form, act)


@console_page("billing.manage")
@require_POST
def splitting_end(request: ConsoleRequest, account_id: uuid.UUID) -> HttpResponse:
    """Take everything back from a pool and all below it, once its name was typed (`revoke`, `reason`)."""
    form = EndForm(request.POST)

    def act(node: Node) -> str:
        if form.cleaned_data["revoke"]:
            require_permission(request, Permission.SUB_TOKENS_MANAGE)
        ending = reclaim_all(
            account_id=account_id,
            revoke=form.cleaned_data["revoke"],
            reason=form.cleaned_data["reason"],
            actor=actor_of(request),
            now=timezone.now(),
        )
        said = _("%(tokens)s Tokens came back from %(name)s.") % {
            "name": node.label,
            "tokens": in_tokens(ending.reclaimed_mtok),
        }
        if ending.revoked:
            count = len(ending.revoked)
            said += " " + ngettext(
                "%(count)s sub-token was revoked.", "%(count)s sub-tokens were revoked.", count
            ) % {"count": count}  # fmt: skip
        return said

    return _answer(request, account_id, form, act, confirmed=True)


@console_page("billing.manage")
@require_POST
def team_pool_open(request: ConsoleRequest, team_id: uuid.UUID) -> HttpResponse:
    """Open the pool of a team that has none (`mode`, `tokens`)."""
    team = Team.objects.filter(id=team_id).first()
    if team is None:
        raise Http404
    form = PoolForm(request.POST)
    if not form.is_valid():
        messages.error(request, _invalid())
    elif pool_of(team_id) is not None:
        messages.error(request, _("%(team)s has a pool already.") % {"team": team.name})
    else:
        try:
            pool = open_pool(
                team_id=team_id,
                mode=SubTokenMode(form.cleaned_data["mode"]),
                mtok=form.cleaned_data["tokens"],
                actor=actor_of(request),
                now=timezone.now(),
            )
        except (LedgerError, SubTokenError) as error:
            messages.error(request, refusal(error))
        else:
            messages.success(request, _("%(team)s has a pool now.") % {"team": team.name})
            root, node = tree(request, pool.id)
            return redirect(address_of(request, root, node.parent or root))
    return redirect("splitting", request.organization.slug)


def _answer(
    request: ConsoleRequest,
    account_id: uuid.UUID,
    form: AmountForm | ReclaimForm | MoveForm | CeilingForm | EndForm,
    act: Callable[[Node], str],
    *,
    confirmed: bool = False,
) -> HttpResponse:
    """Do the act if its form is valid and, where need be, the name was typed; say how it went, on the node's page."""
    root, node = tree(request, account_id)
    if node.is_wallet:
        raise Http404
    if confirmed and request.POST.get("confirm_name", "").strip() != node.label.strip():
        messages.error(request, _("The name did not match, so nothing was done."))
    elif not form.is_valid():
        messages.error(request, _invalid())
    else:
        try:
            messages.success(request, act(node))
        except AccountUnknown:
            raise Http404 from None
        except (LedgerError, SubTokenError) as error:
            messages.error(request, refusal(error))
    return redirect(address_of(request, root, node))


def _invalid() -> str:
    return _("That is not an amount of Tokens: enter a number above 0 with at most 3 decimals.")
