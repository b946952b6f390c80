"""Reading a chain of audit events against itself: what is missing, altered, out of order or cut off."""

from __future__ import annotations

import json
import uuid
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db import connection

from tenants.models import AuditChain, AuditCheck, AuditEvent

FINDINGS_KEPT = 100
EVENTS_AT_ONCE = 10_000
# The scheduler seals every two seconds. An event that waits this long says that it does not run.
LONGEST_WAIT = timedelta(minutes=10)

# The events from %(first)s on, each against its own hash and against the event before it.
_CHUNK = """
WITH run AS (
    SELECT e AS event, e.sequence, e.id, e.hash, e.previous_hash,
           lag(e.sequence, 1, %(sequence)s) OVER (ORDER BY e.sequence) AS before,
           lag(e.hash, 1, %(hash)s) OVER (ORDER BY e.sequence) AS expected
    FROM tenants_auditevent e
    WHERE e.org_id = %(org)s AND e.sequence > %(sequence)s
    ORDER BY e.sequence LIMIT %(limit)s
), judged AS (
    SELECT sequence, id, hash, before,
           sequence > before + 1 AS gap,
           hash <> tenants_audit_hash(event, sequence, previous_hash) AS altered,
           sequence = before + 1 AND previous_hash <> expected AS unlinked
    FROM run
)
SELECT count(*), max(sequence), (array_agg(hash ORDER BY sequence DESC))[1],
       count(*) FILTER (WHERE gap) + count(*) FILTER (WHERE altered) + count(*) FILTER (WHERE unlinked),
       (jsonb_agg(jsonb_build_object('sequence', sequence, 'id', id, 'before', before,
                                     'gap', gap, 'altered', altered, 'unlinked', unlinked) ORDER BY sequence)
           FILTER (WHERE gap OR altered OR unlinked))
FROM judged
"""

# The ends of the chain that earlier verifications found and that are no longer where they were.
_ANCHORS = """
SELECT count(*), (jsonb_agg(jsonb_build_object('sequence', sequence, 'at', created_at) ORDER BY sequence))
FROM (
    SELECT DISTINCT ON (c.sequence, c.hash) c.sequence, c.created_at
    FROM tenants_auditcheck c
    WHERE c.org_id = %(org)s AND c.sequence > 0 AND c.created_at >= %(since)s
      AND NOT EXISTS (SELECT FROM tenants_auditevent e
                      WHERE e.org_id = c.org_id AND e.sequence = c.sequence AND e.hash = c.hash)
    ORDER BY c.sequence, c.hash, c.created_at
) lost
"""


@dataclass(frozen=True)
class ChainReport:
    """What one reading of a chain found. `waiting` are events too new to be sealed; `findings` at most 100.

    A finding is `{"kind": "missing"|"altered"|"unlinked"|"cut_off"|"rewritten"|"unsealed", "sequence": int|None,
    ...}`.
    """

    organization_id: uuid.UUID
    events: int
    waiting: int
    sequence: int
    hash: str
    finding_count: int
    findings: list[dict[str, Any]]

    @property
    def passed(self) -> bool:
        """Return whether nothing was found."""
        return self.finding_count == 0


def read_chain(organization_id: uuid.UUID, now: datetime) -> ChainReport:
    """Recompute an organization's chain from its events, and compare its end with where it has been before.

    Takes no locks, and may run while the chain grows: where it ended before the reading is where it must still pass.
    Needs the organization's scope or the platform's.
    """
    chain = chain_of(organization_id)
    sequence, last_hash, events, count = 0, "", 0, 0
    findings: list[dict[str, Any]] = []
    while True:
        read, last, chunk_hash, found, odd = _rows(
            _CHUNK, org=organization_id, sequence=sequence, hash=last_hash, limit=EVENTS_AT_ONCE
        )
        if not read:
            break
        events, sequence, last_hash, count = events + read, last, chunk_hash, count + found
        findings += [finding for row in _listed(odd) for finding in _judge(row)][: FINDINGS_KEPT - len(findings)]
    if not _ends_in(chain or chain_of(organization_id), sequence):
        count += 1
        findings.append({"kind": "cut_off", "sequence": sequence, "expected": chain.sequence if chain else None})
    lost, anchors = _rows(_ANCHORS, org=organization_id, since=now - timedelta(days=400))
    count += lost
    findings += [{"kind": "rewritten", **anchor} for anchor in _listed(anchors)]
    waiting, stuck = _rows(
        "SELECT count(*), count(*) FILTER (WHERE created_at < %(late)s) FROM tenants_auditevent"
        " WHERE org_id = %(org)s AND sequence IS NULL",
        org=organization_id,
        late=now - LONGEST_WAIT,
    )
    if stuck:
        count += 1
        findings.append({"kind": "unsealed", "sequence": None, "events": stuck})
    return ChainReport(organization_id, events, waiting, sequence, last_hash, count, findings[:FINDINGS_KEPT])


def last_check(organization_id: uuid.UUID) -> AuditCheck | None:
    """Return the result of the last verification of an organization's chain, or None before the first."""
    return AuditCheck.objects.filter(organization_id=organization_id).order_by("-id").first()


def chain_of(organization_id: uuid.UUID) -> AuditChain | None:
    """Return where an organization's chain ends, or None before its first event was sealed."""
    return AuditChain.objects.filter(organization_id=organization_id).first()


def _ends_in(chain: AuditChain | None, sequence: int) -> bool:
    """Return whether the event at which a chain says that it ends is there."""
    if chain is None or chain.sequence == 0:
        return sequence == 0
    ends = AuditEvent.objects.filter(organization_id=chain.organization_id, sequence=chain.sequence, hash=chain.hash)
    return ends.exists()


def _rows(sql: str, *, org: uuid.UUID, **values: Any) -> tuple[Any, ...]:
    with connection.cursor() as cursor:
        cursor.execute(sql, {"org": org, **values})
        row: tuple[Any, ...] = cursor.fetchone()
    return row


def _listed(aggregate: str | None) -> list[dict[str, Any]]:
    return json.loads(aggregate) if aggregate else []


def _judge(row: dict[str, Any]) -> list[dict[str, Any]]:
    place = {"sequence": row["sequence"], "id": row["id"]}
    found: list[dict[str, Any]] = []
    if row["gap"]:
        found.append({"kind": "missing", "sequence": row["before"] + 1, "events": row["sequence"] - row["before"] - 1})
    if row["altered"]:
        found.append({"kind": "altered", **place})
    if row["unlinked"]:
        found.append({"kind": "unlinked", **place})
    return found
