"""What becomes of sub-tokens: changed, rotated, suspended, resumed, revoked, many at once; and whose a secret is."""

from __future__ import annotations

import uuid

from django.contrib import messages
from django.http import Http404, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST

from billing.errors import ExpiryOutOfRange, LedgerError, SubTokenError, SubTokenUnknown
from billing.life_forms import BulkForm, LookupForm, SubTokenChangeForm
from billing.queries.secrets import secret_like, secrets_beginning
from billing.services import sub_token_bulk as bulk
from billing.services import sub_token_life as life
from billing.services.sub_token_bulk import BulkAct, Summary
from billing.views.refusals import in_tokens, refusal
from billing.views.sub_tokens import base_url, find
from tenants.forms import GraceForm
from tenants.secrets import SHOWN_LENGTH
from tenants.views.access import ConsoleRequest, actor_of, console_page


@console_page("sub_tokens.manage")
@require_http_methods(["GET", "HEAD", "POST"])
def sub_token_edit(request: ConsoleRequest, sub_token_id: uuid.UUID) -> HttpResponse:
    """Change a sub-token's name, end, policy or tags."""
    found = find(sub_token_id)
    form = SubTokenChangeForm(request.POST or None, sub_token=found)
    if request.method == "POST" and form.is_valid():
        try:
            _token, changed = life.change_sub_token(
                sub_token_id=found.id, changes=form.changes(), actor=actor_of(request), now=timezone.now()
            )
        except ExpiryOutOfRange as error:
            form.add_error("expires_at", str(error))
        except (LedgerError, SubTokenError) as error:
            form.add_error(None, refusal(error))
        else:
            if changed:
                messages.success(request, _("%(name)s is changed. Calls go by it within a second.") % {"name": found})
            return _back(request, found.id)
    return render(request, "billing/sub_token_edit.html", {"form": form, "sub_token": found})


@console_page("sub_tokens.manage")
@require_POST
@never_cache
def sub_token_rotate(request: ConsoleRequest, sub_token_id: uuid.UUID) -> HttpResponse:
    """Give a sub-token a new secret (`grace_hours`); the answer is the one page that ever shows it."""
    found = find(sub_token_id)
    form, now = GraceForm(request.POST), timezone.now()
    if not form.is_valid():
        messages.error(request, _("Say how long the old secret keeps working; nothing was changed."))
        return _back(request, found.id)
    try:
        issued = life.rotate_secret(sub_token_id=found.id, grace=form.grace(), actor=actor_of(request), now=now)
    except LedgerError as error:
        messages.error(request, refusal(error))
        return _back(request, found.id)
    context = {
        "sub_token": issued.sub_token,
        "secret": issued.secret,
        "base_url": base_url(request),
        "old_prefix": found.prefix,
        "old_ends_at": now + form.grace() if form.grace() else None,
    }
    return render(request, "billing/sub_token_created.html", context)


@console_page("sub_tokens.manage")
@require_POST
def sub_token_end_grace(request: ConsoleRequest, sub_token_id: uuid.UUID) -> HttpResponse:
    """End the older secrets of a sub-token before their time."""
    found = find(sub_token_id)
    life.end_grace(sub_token_id=found.id, actor=actor_of(request), now=timezone.now())
    messages.success(request, _("Only the newest secret of %(name)s works from now on.") % {"name": found})
    return _back(request, found.id)


@console_page("sub_tokens.manage")
@require_POST
def sub_token_suspend(request: ConsoleRequest, sub_token_id: uuid.UUID) -> HttpResponse:
    """Let a sub-token take no calls until it is resumed."""
    found = find(sub_token_id)
    life.suspend_sub_tokens(sub_token_ids=[found.id], actor=actor_of(request), now=timezone.now())
    messages.success(request, _("%(name)s is suspended. It takes no calls until it is resumed.") % {"name": found})
    return _back(request, found.id)


@console_page("sub_tokens.manage")
@require_POST
def sub_token_resume(request: ConsoleRequest, sub_token_id: uuid.UUID) -> HttpResponse:
    """Let a suspended sub-token take calls again."""
    found = find(sub_token_id)
    outcome = life.resume_sub_tokens(sub_token_ids=[found.id], actor=actor_of(request), now=timezone.now())
    if outcome.changed:
        messages.success(request, _("%(name)s takes calls again.") % {"name": found})
    return _back(request, found.id)


@console_page("sub_tokens.manage")
@require_POST
def sub_token_revoke(request: ConsoleRequest, sub_token_id: uuid.UUID) -> HttpResponse:
    """End a sub-token for good, once its name was typed to confirm it."""
    found = find(sub_token_id)
    if request.POST.get("confirm_name", "").strip() != found.name.strip():
        messages.error(request, _("The name did not match, so nothing was revoked."))
    else:
        life.revoke_sub_token(sub_token_id=found.id, actor=actor_of(request), now=timezone.now())
        messages.success(request, _("%(name)s is revoked. Its Tokens can be taken back.") % {"name": found.name})
    return _back(request, found.id)


@console_page("sub_tokens.manage")
@require_POST
def sub_tokens_bulk(request: ConsoleRequest) -> HttpResponse:
    """Do one act to many sub-tokens (`act`, `ids`); first say in numbers what will happen, and do it once confirmed."""
    form, now = BulkForm(request.POST), timezone.now()
    if not form.is_valid():
        messages.error(request, _("Tick the sub-tokens, and choose what to do with them."))
        return redirect("sub_tokens", request.organization.slug)
    choice = form.choice(now)
    try:
        if request.POST.get("confirm_name") is None:
            summary = bulk.preview(**choice, now=now)
        elif request.POST["confirm_name"].strip() != confirmation(choice["act"], len(set(choice["sub_token_ids"]))):
            messages.error(request, _("What was typed did not match, so nothing was done."))
            return redirect("sub_tokens", request.organization.slug)
        else:
            _tell(request, bulk.carry_out(**choice, actor=actor_of(request), now=now))
            return redirect("sub_tokens", request.organization.slug)
    except SubTokenUnknown as error:
        raise Http404 from error
    except (LedgerError, SubTokenError) as error:
        messages.error(request, refusal(error))
        return redirect("sub_tokens", request.organization.slug)
    context = {
        "form": form,
        "summary": summary,
        "expires_at": choice["expires_at"],
        "phrase": confirmation(summary.act, len(summary.changed) + len(summary.unchanged)),
    }
    return render(request, "billing/sub_tokens_bulk.html", context)


@console_page("sub_tokens.view")
@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
def sub_tokens_lookup(request: ConsoleRequest) -> HttpResponse:
    """Say whose secret it is that was found somewhere (`secret`: all of it, or its beginning)."""
    form, now = LookupForm(request.POST or None), timezone.now()
    rows = None
    if request.method == "POST" and form.is_valid():
        text = form.cleaned_data["secret"].strip()
        found = secrets_beginning(text) if len(text) <= SHOWN_LENGTH else secret_like(text)
        rows = [{"found": one, "state": one.state_at(now), "status": one.sub_token.status_at(now)} for one in found]
    return render(request, "billing/sub_tokens_lookup.html", {"form": form, "rows": rows})


def confirmation(act: BulkAct, count: int) -> str:
    """Return what has to be typed before an act on many is done."""
    return f"{act.value} {count}"


def _tell(request: ConsoleRequest, summary: Summary) -> None:
    count = len(summary.changed)
    text = ngettext("%(count)s sub-token changed.", "%(count)s sub-tokens changed.", count) % {"count": count}
    if summary.reclaimed_mtok:
        text += " " + _("%(tokens)s Tokens taken back.") % {"tokens": in_tokens(summary.reclaimed_mtok)}
    messages.success(request, text)


def _back(request: ConsoleRequest, sub_token_id: uuid.UUID) -> HttpResponse:
    return redirect("sub_token", request.organization.slug, sub_token_id)
