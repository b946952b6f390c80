"""The staff's pages about codes: what was made, making more, and ending them."""

from __future__ import annotations

import csv
import io
import uuid
from collections.abc import Iterator, Sequence
from typing import Any

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from billing.errors import CodeError, CodesMade, CodeTermsInvalid
from billing.models import Code, CodeSet
from billing.queries.codes import code_sets, redemptions_of
from billing.services.code_sets import CodeTerms, MadeCodes, check_terms, end_code, end_code_set, make_codes
from portal.staff.code_forms import FIELD_OF, CodeSetForm
from portal.staff.views import PAGE, cut, page
from portal.templatetags.tokensight import token_number
from tenants.scope import platform_scope
from tenants.views.access import with_own_eyes
from tenants.views.downloads import csv_response
from tenants.views.staff_access import staff_actor_of, staff_page

SHOWN = 200


@never_cache
@staff_page
@require_safe
def codes(request: HttpRequest) -> HttpResponse:
    """List the sets of codes, newest first, with how far they are used (`?cursor=`)."""
    cursor = _uuid(request.GET.get("cursor", ""))
    found, next_cursor = cut(code_sets(), cursor)
    now = timezone.now()
    rows = [{"set": one, "status": one.status_at(now)} for one in found]
    return page(request, "staff/codes.html", {"rows": rows, "next_cursor": next_cursor, "first": cursor is None})


@never_cache
@staff_page
@with_own_eyes
@require_http_methods(["GET", "HEAD", "POST"])
def codes_new(request: HttpRequest) -> HttpResponse:
    """Make codes: the terms, then what they may cost in numbers, then the one page that ever shows them."""
    form, now = CodeSetForm(request.POST or None), timezone.now()
    context: dict[str, Any] = {"form": form}
    if request.method == "POST" and form.is_valid():
        terms = form.terms()
        try:
            check_terms(terms, now=now)
            if "confirmed" in request.POST:
                return page(request, "staff/codes_made.html", _made(_make(request, form, terms)))
            context["consequence"] = _consequence(terms)
        except CodeTermsInvalid as error:
            form.add_error(FIELD_OF.get(error.field, error.field), str(error))
        except CodesMade as error:
            messages.error(request, str(error))
            return redirect("staff_codes")
    return page(request, "staff/codes_new.html", context)


@never_cache
@staff_page
@require_safe
def code_set(request: HttpRequest, code_set_id: uuid.UUID) -> HttpResponse:
    """Show a set: its terms, its codes by how they begin, and who has used them."""
    found = code_sets().filter(id=code_set_id).first()
    if found is None:
        raise Http404
    rows = list(Code.objects.filter(code_set=found).order_by("-uses", "id")[: SHOWN + 1])
    context = {
        "set": found,
        "status": found.status_at(timezone.now()),
        "codes": rows[:SHOWN],
        "more": max(0, found.code_count - SHOWN),  # type: ignore[attr-defined]
        "redemptions": redemptions_of(found.id)[:PAGE],
    }
    return page(request, "staff/code_set.html", context)


@never_cache
@staff_page
@require_safe
def code_set_csv(request: HttpRequest, code_set_id: uuid.UUID) -> HttpResponseBase:
    """Download a set's codes by how they begin, with their uses, as CSV. The codes themselves are not known here."""
    if not CodeSet.objects.filter(id=code_set_id).exists():
        raise Http404
    return csv_response("codes.csv", _csv_rows(code_set_id))


@never_cache
@staff_page
@with_own_eyes
@require_POST
def code_set_end(request: HttpRequest, code_set_id: uuid.UUID) -> HttpResponse:
    """End a whole set, once its name was typed, or one code of it (`code`)."""
    found, now, by = CodeSet.objects.filter(id=code_set_id).first(), timezone.now(), _name(request)
    if found is None:
        raise Http404
    one = _uuid(request.POST.get("code", ""))
    try:
        if one is not None:
            code = end_code(code_set_id=found.id, code_id=one, ended_by=by, now=now)
            messages.success(request, _("%(code)s works no more.") % {"code": code})
        elif request.POST.get("confirm_name", "").strip() != found.name.strip():
            messages.error(request, _("The name did not match, so nothing was ended."))
        else:
            end_code_set(code_set_id=found.id, ended_by=by, now=now)
            messages.success(request, _("No code of this set works any more."))
    except CodeError as error:
        messages.error(request, str(error))
    return redirect("staff_code_set", found.id)


def _make(request: HttpRequest, form: CodeSetForm, terms: CodeTerms) -> MadeCodes:
    return make_codes(
        terms=terms,
        made_by=_name(request),
        reason=form.cleaned_data["reason"],
        idempotency_key=f"staff:{form.cleaned_data['key']}",
        now=timezone.now(),
    )


def _made(made: MadeCodes) -> dict[str, Any]:
    lines = io.StringIO()
    writer = csv.writer(lines)
    writer.writerow(["code"])
    writer.writerows([code] for code in made.codes)
    return {"set": made.code_set, "count": len(made.codes), "csv": lines.getvalue()}


def _consequence(terms: CodeTerms) -> list[str]:
    uses = terms.count * terms.uses_per_code
    lines = [
        ngettext("%(count)d code is made.", "%(count)d codes are made.", terms.count) % {"count": terms.count},
        ngettext("Together they can be used once.", "Together they can be used %(uses)d times.", uses) % {"uses": uses},
    ]
    if terms.most_mtok is not None:
        lines.append(_("At most %(tokens)s Tokens are given away.") % {"tokens": token_number(terms.most_mtok)})
    elif terms.benefit == "bonus_percent":
        lines.append(_("Each use adds %(percent)d%% to what is bought.") % {"percent": terms.percent})
    else:
        lines.append(_("Each use takes %(percent)d%% off the price.") % {"percent": terms.percent})
    if terms.expires_at is not None:
        day = date_format(terms.expires_at, "DATETIME_FORMAT")
        lines.append(_("They end on %(day)s (UTC).") % {"day": day})
    return lines


def _csv_rows(code_set_id: uuid.UUID) -> Iterator[Sequence[Any]]:
    yield ["id", "begins_with", "uses", "max_uses", "made_at", "ended_at"]
    after = uuid.UUID(int=0)
    while True:
        with platform_scope("staff: codes of a set as CSV"):
            rows = list(Code.objects.filter(code_set_id=code_set_id, id__gt=after).order_by("id")[:500])
        for row in rows:
            ended_at = row.ended_at.isoformat() if row.ended_at else ""
            yield [row.id, row.hint, row.uses, row.max_uses, row.created_at.isoformat(), ended_at]
        if len(rows) < 500:
            return
        after = rows[-1].id


def _name(request: HttpRequest) -> str:
    return staff_actor_of(request).name


def _uuid(text: str) -> uuid.UUID | None:
    try:
        return uuid.UUID(text)
    except ValueError:
        return None
