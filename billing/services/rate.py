"""Requests per second and per day, and calls at a time, of a sub-token, its teams and its organization.

Redis decides on all levels in one atomic step (billing/services/rate_scripts.py). Every call in flight holds a lease
that ends by itself if its owner dies; an accepted job keeps its call's until it is over. A refused call changes
nothing, and one that is refused later, by the ledger for instance, is given back. Without Redis the organization's
policy decides: calls are refused, or pass as far as this process alone can count them (billing/services/rate_here.py);
the ledger in PostgreSQL bounds what can be spent in any case.
"""

from __future__ import annotations

import math
import uuid
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import redis

from billing.enums import Level
from billing.queries.credentials import Credential
from billing.queries.limits import AccountLimits
from billing.queries.rate_levels import RateLevel
from billing.services import rate_scripts as scripts
from billing.services.rate_here import LocalCounts
from billing.services.redis import script, with_redis
from tenants.api.problems import Problem

LEASE_SECONDS = 120
CONCURRENCY_RETRY_SECONDS = 1
# A sub-token's leases are kept though nothing bounds them: by its own lease a call is given back once, and kept.
UNBOUNDED = 1_000_000_000
MICROSECONDS = 1_000_000

_WHOSE = {
    Level.ORGANIZATION: "Your organization",
    Level.TEAM: "This sub-token's team",
    Level.SUB_TOKEN: "This sub-token",
}
_here = LocalCounts()


@dataclass(frozen=True, slots=True)
class Admission:
    """A call that may go on. Put `headers` into its answer; `release` its lease when it is over, or `give_back` it all.

    `day` is the day (from 1970, UTC) on which Redis counted it, None for a call that this process alone has counted.
    """

    lease_id: str
    headers: dict[str, str] = field(default_factory=dict)
    day: int | None = None


def admit(credential: Credential, lease_id: str, *, lease_seconds: float = LEASE_SECONDS) -> Admission:
    """Let one call pass on all levels, holding the lease `lease_id` for it until `release` or at most `lease_seconds`.

    Raises `rate_limited`, `concurrency_limited`, or `quota_exceeded` when the day's requests are used up: each says
    whose limit it is and when to come again. Nothing was used up then. Raises `no_capacity` when Redis is away and the
    organization wants calls refused that nobody can count.
    """
    levels = credential.rates.levels
    answer = _run(scripts.ADMIT, credential, lease_id, int(lease_seconds * MICROSECONDS))
    if answer is None:
        return _admit_here(credential, lease_id, lease_seconds)
    word, refusing, wait, day, *least = answer
    headers = _headers(levels, least)
    if refusing:
        raise _refusal(word.decode(), levels[refusing - 1], wait, headers)
    return Admission(lease_id, headers, day)


def give_back(credential: Credential, admission: Admission) -> None:
    """Make an admitted call as if it had never come: it was refused after all. Doing it twice does nothing."""
    if admission.day is None:
        _here.give_back(credential.rates.levels, admission.lease_id)
    else:
        _run(scripts.GIVE_BACK, credential, admission.lease_id, admission.day)


def take_place(credential: Credential, lease_id: str, *, lease_seconds: float) -> bool:
    """Hold a lease for a call that was counted before, and say whether there was a place for it on every level.

    Raises redis.RedisError: without Redis nobody knows.
    """
    answer = _run(scripts.TAKE_PLACE, credential, lease_id, int(lease_seconds * MICROSECONDS))
    if answer is None:
        raise redis.ConnectionError("Redis is away.")
    return bool(answer)


def keep(credential: Credential, lease_id: str, *, lease_seconds: float) -> None:
    """Let a lease that is still held last `lease_seconds` from now: its call was answered, its job goes on."""
    keys = _lease_keys(credential.organization_id, credential.sub_token_id, lease_id)
    arguments: list[Any] = [lease_id, int(lease_seconds * MICROSECONDS)]
    with_redis(lambda client: script(client, scripts.KEEP)(keys=keys, args=arguments))


def release(credential: Credential, lease_id: str) -> None:
    """Give a call's lease back on all levels. Doing it twice, or without Redis, does nothing."""
    _here.release(lease_id)
    with_redis(lambda client: release_in(client, credential.organization_id, credential.sub_token_id, lease_id))


def release_in(
    client: redis.Redis, organization_id: uuid.UUID | str, sub_token_id: uuid.UUID | str, lease_id: str
) -> None:
    """Give a lease back as one more command of `client`, which may be a pipeline."""
    client.eval(scripts.RELEASE, 2, *_lease_keys(organization_id, sub_token_id, lease_id), lease_id)


def requests_today(organization_id: uuid.UUID, rows: Iterable[AccountLimits], *, now: datetime) -> dict[uuid.UUID, int]:
    """Return how many requests of today (UTC) are counted for those of the accounts that have a limit of them.

    Empty when Redis is away.
    """
    keys = {row.account.id: row.rate_key for row in rows if row.limits and row.limits.requests_per_day}
    if not keys:
        return {}
    names = [_day_key(organization_id, key) for key in keys.values()]
    found: Any = with_redis(lambda client: client.mget(names))
    today, counts = int(now.timestamp() // 86_400), {}
    for account_id, text in zip(keys, found or [], strict=False):
        day, _, requests = (text or b"0:0").partition(b":")
        counts[account_id] = int(requests) if int(day) == today else 0
    return counts


def _run(text: str, credential: Credential, lease_id: str, number: int) -> Any:
    """Run a script over all levels, for one lease; None when Redis is away."""
    keys: list[str] = []
    arguments: list[Any] = []
    for number_of_level, level in enumerate(credential.rates.levels):
        prefix = f"{{{credential.organization_id}}}:{level.key}"
        # With its rate: what a slower one let through does not keep callers waiting once a faster one is in force.
        rate = f"rate:{prefix}:{level.requests_per_second or 0:g}"
        keys += [rate, _day_key(credential.organization_id, level.key), f"leases:{prefix}"]
        interval = MICROSECONDS / level.requests_per_second if level.requests_per_second else 0
        places = level.concurrency or (0 if number_of_level else UNBOUNDED)
        arguments += [interval, level.burst, level.requests_per_day or 0, places]
    keys.append(_lease_keys(credential.organization_id, credential.sub_token_id, lease_id)[1])
    arguments += [lease_id, number]
    return with_redis(lambda client: script(client, text)(keys=keys, args=arguments))


def _lease_keys(organization_id: uuid.UUID | str, sub_token_id: uuid.UUID | str, lease_id: str) -> list[str]:
    # The braces keep all keys of an organization in one slot of a Redis cluster.
    prefix = f"{{{organization_id}}}"
    return [f"leases:{prefix}:{sub_token_id}", f"lease:{prefix}:{lease_id}"]


def _day_key(organization_id: uuid.UUID | str, key: str) -> str:
    return f"day:{{{organization_id}}}:{key}"


def _admit_here(credential: Credential, lease_id: str, lease_seconds: float) -> Admission:
    if credential.rates.refuse_uncounted:
        raise Problem(
            "no_capacity",
            "Requests cannot be counted right now, and your organization has calls refused then. Nothing was charged.",
            headers={"Retry-After": str(CONCURRENCY_RETRY_SECONDS)},
        )
    refusal = _here.admit(credential.rates.levels, lease_id, lease_seconds=lease_seconds)
    if refusal:
        raise _refusal(refusal.code, refusal.level, math.ceil(refusal.wait), {})
    return Admission(lease_id)


def _refusal(code: str, level: RateLevel, wait: int, headers: dict[str, str]) -> Problem:
    whose = (
        f"Your plan, {level.plan.name}, lets your organization make"
        if level.plan
        else f"{_WHOSE[level.level]} may make"
    )
    match code:
        case "rate_limited":
            limit, detail = (
                "requests_per_second",
                _counted(whose, level.requests_per_second or 0, "request", "per second"),
            )
            retry = _seconds(wait)
        case "concurrency_limited":
            limit, detail = "concurrency", _counted(whose, level.concurrency or 0, "call", "at a time")
            retry = CONCURRENCY_RETRY_SECONDS
        case _:
            limit, detail = "requests_per_day", _counted(whose, level.requests_per_day or 0, "request", "per day (UTC)")
            retry = _seconds(wait)
    problem = Problem(code, detail, headers=headers | {"Retry-After": str(retry)}, level=level.level, limit=limit)
    if level.plan:
        problem.extra |= {"plan": level.plan.key, "upgrade_url": level.plan.upgrade_url}
    if limit == "requests_per_day":
        midnight = datetime.combine(datetime.now(UTC) + timedelta(days=1), datetime.min.time())
        problem.extra["resets_at"] = f"{midnight.isoformat()}Z"
    return problem


def _counted(whose: str, number: float, what: str, span: str) -> str:
    counted = f"{number:g}" if isinstance(number, float) else str(number)
    return f"{whose} {counted} {what}{'' if number == 1 else 's'} {span}."


def _headers(levels: tuple[RateLevel, ...], least: list[int]) -> dict[str, str]:
    """Return `RateLimit-Policy` and `RateLimit`: of each kind of limit, the level that has the least left."""
    rate, rate_left, refill, places, _places_left, days, days_left, until_midnight = least
    policies, states = [], []
    if rate:
        level = levels[rate - 1]
        assert level.requests_per_second, "the script looked at its rate"
        window = max(1, math.ceil(level.burst / level.requests_per_second))
        calls = max(level.burst, math.floor(level.requests_per_second * window))
        policies.append(f'"requests";q={calls};w={window};level={level.level}')
        states.append(f'"requests";r={rate_left};t={_seconds(refill)};level={level.level}')
    if days:
        level = levels[days - 1]
        policies.append(f'"requests-per-day";q={level.requests_per_day};w=86400;level={level.level}')
        states.append(f'"requests-per-day";r={days_left};t={_seconds(until_midnight)};level={level.level}')
    if places and levels[places - 1].concurrency:
        level = levels[places - 1]
        policies.append(f'"concurrency";q={level.concurrency};qu="concurrent-requests";level={level.level}')
    said = {"RateLimit-Policy": ", ".join(policies), "RateLimit": ", ".join(states)}
    return {name: value for name, value in said.items() if value}


def _seconds(microseconds: float) -> int:
    return max(1, math.ceil(microseconds / MICROSECONDS))
