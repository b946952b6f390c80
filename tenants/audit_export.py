"""One audit event as a line of JSON, and reading such lines against their hashes without a database.

The hash of an event is the SHA-256 of a JSON array of its facts, as PostgreSQL writes jsonb; the form is in
docs/audit.md. Here the same text is made a second time, by other means, so that the one
checks the other.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

FORM = 1
FACTS = (
    "organization",
    "id",
    "created_at",
    "actor_kind",
    "actor_id",
    "actor_name",
    "action",
    "target_kind",
    "target_id",
    "before",
    "after",
    "ip",
    "user_agent",
    "session",
    "request_id",
    "reason",
)


@dataclass
class ExportReport:
    """What reading an export found. A link is two neighbours in the chain that are neighbours in the file too."""

    events: int = 0
    links: int = 0
    problems: list[str] = field(default_factory=list)


def verify_export(lines: Iterable[str]) -> ExportReport:
    """Recompute the hash of every sealed event of a JSON lines export, and compare neighbours.

    The file may be filtered, which leaves gaps; of an unfiltered one `events - 1` links are there to compare.
    """
    report = ExportReport()
    newer: dict[str, Any] | None = None
    for number, line in enumerate(lines, 1):
        event = json.loads(line, parse_float=Decimal)
        if event["sequence"] is None:
            continue
        report.events += 1
        if event["hash"] != event_hash(event):
            report.problems.append(f"line {number}: event {event['sequence']} is not what was sealed")
        if newer is not None and newer["sequence"] == event["sequence"] + 1:
            report.links += 1
            if newer["previous_hash"] != event["hash"]:
                report.problems.append(f"line {number}: event {event['sequence']} is not the one that came before")
        newer = event
    return report


def event_hash(event: dict[str, Any]) -> str:
    """Return the hash of an exported event, as hexadecimal digits."""
    facts = [FORM, event["sequence"], event["previous_hash"], *(event[name] for name in FACTS)]
    return hashlib.sha256(jsonb_text(facts).encode()).hexdigest()


def jsonb_text(value: Any) -> str:
    """Return a JSON value as PostgreSQL writes jsonb: members by length of their names, then by their bytes."""
    match value:
        case dict():
            names = sorted(value, key=lambda name: (len(name.encode()), name.encode()))
            return "{" + ", ".join(f"{jsonb_text(name)}: {jsonb_text(value[name])}" for name in names) + "}"
        case list():
            return "[" + ", ".join(jsonb_text(item) for item in value) + "]"
        case Decimal():
            return format(value, "f")
        case _:
            return json.dumps(value, ensure_ascii=False)
