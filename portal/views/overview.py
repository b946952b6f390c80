"""An organization's first page: what is left, how fast it goes, who spends it, and whether the ledger adds up."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from django.http import HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.translation import gettext as _
from django.utils.translation import ngettext, pgettext

from billing.models import SubToken
from billing.queries.burn import Day, burn_down, largest_spenders
from billing.queries.ledger import last_check
from billing.views.balance import standing_of
from billing.views.sub_tokens import base_url
from detection.models import Job
from detection.queries.spending import burn_by_model
from detection.views.calls import names_of_sub_tokens
from portal.templatetags.tokensight import token_number
from tenants.views.access import ConsoleRequest, console_page

DAYS = 30
LARGEST = 8
LATEST = 8


@console_page("organization.view")
def overview(request: ConsoleRequest) -> HttpResponse:
    """Show the organization's overview."""
    now = timezone.now()
    days = burn_down(DAYS, now)
    jobs = list(Job.objects.select_related("model_version__model").order_by("-id")[:LATEST])
    context = {
        "standing": standing_of(request),
        "left_chart": left_chart(days),
        "spent_chart": spent_chart(days),
        "sub_token_chart": sub_token_chart(request.organization.id, now),
        "model_chart": model_chart(now),
        "jobs": jobs,
        "names": names_of_sub_tokens(jobs),
        "has_sub_tokens": SubToken.objects.exists(),
        "check": last_check(request.organization.id),
        "today_mtok": days[-1].burned_mtok,
        "base_url": base_url(request),
    }
    return render(request, "portal/overview.html", context)


def left_chart(days: list[Day]) -> dict[str, Any]:
    """Return the chart of what was left at the end of each day."""
    burned = sum(day.burned_mtok for day in days)
    left = token_number(days[-1].posted_mtok, "short")
    title = (
        _("%(burned)s Tokens spent in 30 days, %(left)s left") % {"burned": token_number(burned, "short"), "left": left}
        if burned
        else _("Nothing spent in 30 days, %(left)s Tokens left") % {"left": left}
    )
    return {
        "title": title,
        "kind": "line",
        "unit": "Tok",
        "short": True,
        "steps": True,
        "labels": _labels(days),
        "series": [{"name": _("Left at the day's end"), "values": [day.posted_mtok / 1000 for day in days]}],
    }


def spent_chart(days: list[Day]) -> dict[str, Any] | None:
    """Return the chart of what was spent on each day, or None when nothing was."""
    busiest = max(days, key=lambda day: day.burned_mtok)
    if not busiest.burned_mtok:
        return None
    return {
        "title": _("The busiest day was %(day)s with %(burned)s Tokens")
        % {"day": _labels([busiest])[0], "burned": token_number(busiest.burned_mtok, "short")},
        "kind": "bars",
        "unit": "Tok",
        "short": True,
        "labels": _labels(days),
        "series": [{"name": _("Spent on the day"), "values": [day.burned_mtok / 1000 for day in days]}],
    }


def _labels(days: list[Day]) -> list[str]:
    # Translators: how a chart names a day, in Django's date format; "M j" is "Nov 21".
    return [date_format(day.day, pgettext("day in a chart", "M j")) for day in days]


def sub_token_chart(organization_id: UUID, now: datetime) -> dict[str, Any] | None:
    """Return the chart of the sub-tokens that spent most, or None when none spent anything."""
    spent = largest_spenders(organization_id, DAYS, now, limit=LARGEST)
    amounts = [(burn.label, burn.mtok) for burn in spent.largest]
    others = spent.count - len(amounts), spent.mtok - sum(mtok for _name, mtok in amounts)
    return _share_chart(amounts, others, _("%(name)s spent %(percent)s%% of the Tokens"), _("Sub-token"))


def model_chart(now: datetime) -> dict[str, Any] | None:
    """Return the chart of the models that cost most, or None when fewer than two did: that one took all of it."""
    burns = [(burn.model, burn.mtok) for burn in burn_by_model(now.astimezone(UTC).date() - timedelta(days=DAYS - 1))]
    if len(burns) < 2:
        return None
    shown, rest = burns[:LARGEST], burns[LARGEST:]
    others = len(rest), sum(mtok for _name, mtok in rest)
    return _share_chart(shown, others, _("%(name)s took %(percent)s%% of the Tokens"), _("Model"))


def _share_chart(
    amounts: list[tuple[str, int]], others: tuple[int, int], finding: str, what: str
) -> dict[str, Any] | None:
    """Return the chart of the largest amounts, and of how many `others` there are and what they come to."""
    if not amounts:
        return None
    (name, most), total = amounts[0], sum(mtok for _name, mtok in amounts) + others[1]
    if others[0]:
        label = ngettext("%(count)s other", "%(count)s others", others[0]) % {"count": others[0]}
        amounts = [*amounts, (label, others[1])]
    return {
        "title": finding % {"name": name, "percent": round(100 * most / total)},
        "kind": "bars-across",
        "unit": "Tok",
        "short": True,
        "labels": [name for name, _mtok in amounts],
        "series": [{"name": what, "values": [mtok / 1000 for _name, mtok in amounts]}],
    }
