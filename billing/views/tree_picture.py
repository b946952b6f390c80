"""The tree as the picture draws it: nested segments, each with its numbers and its address."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from billing.queries.tree import Node

# More segments than this around one node cannot be told apart: the smallest are drawn as one.
DRAWN_PER_NODE = 36
DRAWN_LEVELS = 4
MEASURES = {"has": "all_free_mtok", "holds": "all_held_mtok", "burns": "all_burned_mtok"}


def picture(node: Node, address: Callable[[Node], str]) -> dict[str, Any]:
    """Return the node and what hangs below it for the chart, amounts in mtok, with the rows of its table."""
    rows: list[dict[str, Any]] = []
    drawn = _segment(node, address, 0, rows)
    return {
        "root": drawn,
        "rows": rows,
        "spec": {
            "root": drawn,
            "unit": "Tok",
            "own": _("Unallocated"),
            "words": {"has": _("has"), "holds": _("holds"), "burns": _("burned in 30 days")},
        },
    }


def _segment(node: Node, address: Callable[[Node], str], level: int, rows: list[dict[str, Any]]) -> dict[str, Any]:
    rows.append({"name": node.label, "level": level, "node": node})
    segment: dict[str, Any] = {
        "name": node.label,
        "url": address(node),
        "capped": node.is_capped,
        **{measure: getattr(node, field) for measure, field in MEASURES.items()},
    }
    if level < DRAWN_LEVELS and node.children:
        largest = sorted(
            node.children,
            key=lambda child: (child.all_free_mtok + child.all_held_mtok, child.all_burned_mtok),
            reverse=True,
        )
        shown, rest = largest[:DRAWN_PER_NODE], largest[DRAWN_PER_NODE:]
        segment["children"] = [_segment(child, address, level + 1, rows) for child in shown]
        if rest:
            name = ngettext("%(count)s other", "%(count)s others", len(rest)) % {"count": len(rest)}
            sums = {measure: sum(getattr(child, field) for child in rest) for measure, field in MEASURES.items()}
            segment["children"].append({"name": name, "url": address(node), "capped": False, **sums})
    return segment
