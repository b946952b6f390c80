"""Counting requests in this process alone, for as long as Redis is away.

Each process then lets pass what the limits allow, as if it were the only one: a bound, if a looser one. The rules are
those of billing/services/rate_scripts.py; times are microseconds since 1970.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from threading import Lock

from billing.queries.rate_levels import RateLevel

MICROSECONDS = 1_000_000
DAY = 86_400 * MICROSECONDS
# Beyond this what is over is thrown away, so that a long outage cannot fill the memory.
MOST_KEYS = 20_000


@dataclass(frozen=True, slots=True)
class Refusal:
    """What is in the way for the longest time, on which level, and for how many microseconds."""

    code: str
    level: RateLevel
    wait: float


class LocalCounts:
    """Requests as this process has seen them, since it began to count."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._full_at: dict[str, float] = {}
        self._days: dict[str, tuple[int, int]] = {}
        self._leases: defaultdict[str, dict[str, float]] = defaultdict(dict)

    def admit(self, levels: Sequence[RateLevel], lease_id: str, *, lease_seconds: float) -> Refusal | None:
        """Count one call on all levels and hold its lease, or say what refuses it; then nothing was counted."""
        now = time.time() * MICROSECONDS
        with self._lock:
            refusals = [refusal for level in levels for refusal in self._refusals(level, now)]
            if refusals:
                return max(refusals, key=lambda refusal: refusal.wait)
            for level in levels:
                self._count(level, now)
                # The first level's lease is kept though nothing bounds it: by it a call is given back once.
                if level.concurrency is not None or level is levels[0]:
                    self._leases[level.key][lease_id] = now + lease_seconds * MICROSECONDS
            if len(self._full_at) + len(self._days) + len(self._leases) > MOST_KEYS:
                self._forget(now)
        return None

    def give_back(self, levels: Sequence[RateLevel], lease_id: str) -> None:
        """Make an admitted call as if it had never come."""
        today = int(time.time() * MICROSECONDS // DAY)
        with self._lock:
            if self._leases[levels[0].key].pop(lease_id, None) is None:
                return
            for level in levels:
                self._leases[level.key].pop(lease_id, None)
                if level.requests_per_second and level.key in self._full_at:
                    self._full_at[level.key] -= MICROSECONDS / level.requests_per_second
                day, requests = self._days.get(level.key, (today, 0))
                if requests and day == today:
                    self._days[level.key] = (day, requests - 1)

    def release(self, lease_id: str) -> None:
        """Give a call's lease back on all levels."""
        with self._lock:
            for leases in self._leases.values():
                leases.pop(lease_id, None)

    def _refusals(self, level: RateLevel, now: float) -> list[Refusal]:
        found = []
        if level.requests_per_second:
            interval = MICROSECONDS / level.requests_per_second
            wait = max(self._full_at.get(level.key, now), now) + interval - interval * level.burst - now
            if wait > 0:
                found.append(Refusal("rate_limited", level, wait))
        if level.requests_per_day is not None:
            day, requests = self._days.get(level.key, (0, 0))
            if day == now // DAY and requests >= level.requests_per_day:
                found.append(Refusal("quota_exceeded", level, DAY - now % DAY))
        if level.concurrency is not None:
            leases = self._leases[level.key]
            for lease_id in [lease_id for lease_id, ends_at in leases.items() if ends_at <= now]:
                del leases[lease_id]
            if len(leases) >= level.concurrency:
                found.append(Refusal("concurrency_limited", level, 1))
        return found

    def _count(self, level: RateLevel, now: float) -> None:
        if level.requests_per_second:
            self._full_at[level.key] = max(self._full_at.get(level.key, now), now) + (
                MICROSECONDS / level.requests_per_second
            )
        if level.requests_per_day is not None:
            day, requests = self._days.get(level.key, (0, 0))
            today = int(now // DAY)
            self._days[level.key] = (today, requests + 1 if day == today else 1)

    def _forget(self, now: float) -> None:
        self._full_at = {key: full_at for key, full_at in self._full_at.items() if full_at > now}
        self._days = {key: count for key, count in self._days.items() if count[0] == now // DAY}
        alive = {
            key: {lease_id: ends_at for lease_id, ends_at in leases.items() if ends_at > now}
            for key, leases in self._leases.items()
        }
        self._leases = defaultdict(dict, {key: leases for key, leases in alive.items() if leases})
