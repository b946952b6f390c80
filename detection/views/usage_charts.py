"""Usage as pictures whose titles say what there is to see."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from datetime import UTC, timedelta
from typing import Any

from django.utils.formats import date_format
from django.utils.translation import gettext as _
from django.utils.translation import ngettext, pgettext

from billing.views.sub_tokens import in_tokens
from detection.queries.usage import TAG, Span, UsageRow

TIMES = ("hour", "day", "month")
LARGEST, STACKED = 8, 3


def group_name(dimension: str, value: Any) -> str:
    """Return what a group is called on a page."""
    match dimension:
        case "team":
            return value["name"] if value else _("No team")
        case "sub_token":
            return value["name"]
        case "hour":
            return date_format(value.astimezone(UTC), "Y-m-d H:i")
        case "day":
            # Translators: how a chart names a day, in Django's date format; "M j" is "Nov 21".
            return date_format(value, pgettext("day in a chart", "M j"))
        case "month":
            return date_format(value, pgettext("month in a chart", "M Y"))
        case _ if value is None:
            return _("No tag") if dimension == "tag" else _("Without it")
        case _:
            return str(value)


def usage_chart(rows: Sequence[UsageRow], group_by: Sequence[str], within: Span) -> dict[str, Any] | None:
    """Return the chart of usage by one or two dimensions, or None when nothing was used."""
    total = sum(row.charged_mtok for row in rows)
    calls = sum(row.calls for row in rows)
    if not calls:
        return None
    amount: Callable[[UsageRow], int] = (lambda row: row.charged_mtok) if total else (lambda row: row.calls)
    shape = {"unit": "Tok" if total else _("calls"), "scale": 1000 if total else 1}
    first, *second = group_by
    if first in TIMES:
        return _over_time(rows, first, second[0] if second else None, within, amount, shape)
    sums: dict[str, int] = defaultdict(int)
    for row in rows:
        sums[group_name(first, row.group[first])] += amount(row)
    return _shares(sums, first, shape)


def _over_time(
    rows: Sequence[UsageRow],
    unit: str,
    second: str | None,
    within: Span,
    amount: Callable[[UsageRow], int],
    shape: dict[str, Any],
) -> dict[str, Any]:
    moments = _moments(unit, within)
    series: dict[str, dict[Any, int]] = defaultdict(lambda: defaultdict(int))
    for row in rows:
        name = group_name(second, row.group[second]) if second else _("Used")
        series[name][row.group[unit]] += amount(row)
    ranked = sorted(series, key=lambda name: -sum(series[name].values()))
    shown = {name: series[name] for name in ranked[:STACKED]}
    if rest := ranked[STACKED:]:
        others = ngettext("%(count)s other", "%(count)s others", len(rest)) % {"count": len(rest)}
        shown[others] = defaultdict(int)
        for name in rest:
            for moment, value in series[name].items():
                shown[others][moment] += value
    sums = {moment: sum(values[moment] for values in series.values()) for moment in moments}
    busiest = max(moments, key=lambda moment: sums[moment])
    return {
        "title": _BUSIEST[unit]()
        % {"when": group_name(unit, busiest), "amount": _said(sums[busiest], shape["scale"]), "unit": shape["unit"]},
        "kind": "bars",
        "unit": shape["unit"],
        "stacked": second is not None,
        "labels": [group_name(unit, moment) for moment in moments],
        "series": [
            {"name": name, "values": [values[moment] / shape["scale"] for moment in moments]}
            for name, values in shown.items()
        ],
    }


_BUSIEST: dict[str, Callable[[], str]] = {
    "hour": lambda: _("The busiest hour began %(when)s UTC: %(amount)s %(unit)s"),
    "day": lambda: _("The busiest day was %(when)s: %(amount)s %(unit)s"),
    "month": lambda: _("The busiest month was %(when)s: %(amount)s %(unit)s"),
}


def _shares(sums: dict[str, int], dimension: str, shape: dict[str, Any]) -> dict[str, Any]:
    ranked = sorted(sums.items(), key=lambda item: -item[1])
    shown, rest = ranked[:LARGEST], ranked[LARGEST:]
    if rest:
        others = ngettext("%(count)s other", "%(count)s others", len(rest)) % {"count": len(rest)}
        shown = [*shown, (others, sum(value for _name, value in rest))]
    name, most = ranked[0]
    # Tags may overlap, so a share of what all of them took says more than it should.
    title = (
        _("%(name)s took most: %(amount)s %(unit)s")
        if dimension == "tag" or dimension.startswith(TAG)
        else _("%(name)s took %(percent)s%%: %(amount)s %(unit)s")
    )
    return {
        "title": title
        % {
            "name": name,
            "percent": round(100 * most / (sum(sums.values()) or 1)),
            "amount": _said(most, shape["scale"]),
            "unit": shape["unit"],
        },
        "kind": "bars-across",
        "unit": shape["unit"],
        "labels": [name for name, _value in shown],
        "series": [{"name": _("Used"), "values": [value / shape["scale"] for _name, value in shown]}],
    }


def _said(amount: int, scale: int) -> str:
    return in_tokens(amount if amount < 1000 * scale else amount // scale * scale) if scale > 1 else f"{amount:,}"


def _moments(unit: str, within: Span) -> list[Any]:
    """Return every hour, day or month of a span, busy or not."""
    if unit == "hour":
        hours = int((within.until - within.since) / timedelta(hours=1))
        return [within.since + timedelta(hours=number) for number in range(hours)]
    first = within.since.astimezone(UTC).date()
    last = (within.until - timedelta(microseconds=1)).astimezone(UTC).date()
    days = [first + timedelta(days=number) for number in range((last - first).days + 1)]
    return days if unit == "day" else list(dict.fromkeys(day.replace(day=1) for day in days))
