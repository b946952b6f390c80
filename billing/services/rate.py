"""Requests per second and concurrent calls of a sub-token, decided by Redis in one atomic step.

The rate is a generic cell rate algorithm: a token bucket of `burst` that refills evenly, kept as one time stamp. Every
call in flight holds a lease that ends by itself if its owner dies; an accepted job keeps its call's until it is over. A
refused call changes neither. Without Redis every call passes: the ledger in PostgreSQL still bounds what can be spent.
"""

from __future__ import annotations

import math
import uuid
from dataclasses import dataclass
from typing import Any

import redis
from django.conf import settings

from billing.queries.credentials import Credential
from billing.services.redis import with_redis
from tenants.api.problems import Problem

LEASE_SECONDS = 120
CONCURRENCY_RETRY_SECONDS = 1
MICROSECONDS = 1_000_000

# KEYS rate, leases; ARGV emission interval (us), burst, concurrency, lease id, lease (us).
# Answers (outcome, calls left at once, us to wait, us until the bucket is full).
# Times are written as whole numbers: Lua would round them to 14 digits.
ADMIT = """
local clock = redis.call('TIME')
local now = clock[1] * 1000000 + clock[2]
local interval, burst = tonumber(ARGV[1]), tonumber(ARGV[2])
local concurrency, lease = tonumber(ARGV[3]), tonumber(ARGV[5])

local full_at = math.max(tonumber(redis.call('GET', KEYS[1]) or now), now)
local next_full_at = full_at + interval
local wait = next_full_at - interval * burst - now
if wait > 0 then
    return {'rate_limited', 0, math.ceil(wait), math.ceil(full_at - now)}
end
redis.call('ZREMRANGEBYSCORE', KEYS[2], '-inf', string.format('%.0f', now))
if redis.call('ZCARD', KEYS[2]) >= concurrency then
    local left = math.floor((now + interval * burst - full_at) / interval)
    return {'concurrency_limited', left, 0, math.ceil(full_at - now)}
end
redis.call('SET', KEYS[1], string.format('%.0f', next_full_at), 'PX', math.ceil((next_full_at - now) / 1000))
redis.call('ZADD', KEYS[2], string.format('%.0f', now + lease), ARGV[4])
if redis.call('PTTL', KEYS[2]) < math.ceil(lease / 1000) then
    redis.call('PEXPIRE', KEYS[2], math.ceil(lease / 1000))
end
return {'admitted', math.floor((now + interval * burst - next_full_at) / interval), 0, math.ceil(next_full_at - now)}
"""

# KEYS leases; ARGV lease id, lease (us). A lease that was given back meanwhile stays so.
KEEP = """
local clock = redis.call('TIME')
local lease = tonumber(ARGV[2])
local ends = clock[1] * 1000000 + clock[2] + lease
if redis.call('ZSCORE', KEYS[1], ARGV[1]) then
    redis.call('ZADD', KEYS[1], string.format('%.0f', ends), ARGV[1])
    if redis.call('PTTL', KEYS[1]) < math.ceil(lease / 1000) then
        redis.call('PEXPIRE', KEYS[1], math.ceil(lease / 1000))
    end
end
"""


@dataclass(frozen=True, slots=True)
class Admission:
    """A call that may go on. Put `headers` into its answer, and `release` its lease when it is over."""

    lease_id: str
    headers: dict[str, str]


@dataclass(frozen=True, slots=True)
class RateLimits:
    """What applies to a sub-token: its own limits, or the plan's ceiling where it has none or a higher one."""

    requests_per_second: float
    burst: int
    concurrency: int

    @classmethod
    def of(cls, credential: Credential) -> RateLimits:
        """Return the limits of a sub-token. Without a burst of its own it may save up one second's worth."""
        ceiling = float(settings.PLAN_REQUESTS_PER_SECOND)
        rate = min(float(credential.requests_per_second or ceiling), ceiling)
        concurrency = min(credential.concurrency or settings.PLAN_CONCURRENCY, settings.PLAN_CONCURRENCY)
        return cls(rate, credential.burst or max(1, math.ceil(rate)), concurrency)

    @property
    def policy(self) -> str:
        """Return the value of `RateLimit-Policy`: how many calls, in how many seconds."""
        window = max(1, math.ceil(self.burst / self.requests_per_second))
        calls = max(self.burst, math.floor(self.requests_per_second * window))
        return f'"requests";q={calls};w={window}, "concurrency";q={self.concurrency};qu="concurrent-requests"'


def admit(credential: Credential, lease_id: str, *, lease_seconds: float = LEASE_SECONDS) -> Admission:
    """Let one call pass, holding the lease `lease_id` for it until `release` or at most `lease_seconds`.

    Raises `rate_limited` or `concurrency_limited` (both say when to come again); then nothing was used up.
    """
    limits = RateLimits.of(credential)
    interval = MICROSECONDS / limits.requests_per_second
    arguments: list[Any] = [interval, limits.burst, limits.concurrency, lease_id, int(lease_seconds * MICROSECONDS)]
    keys = _keys(credential.sub_token_id)
    answer: Any = with_redis(lambda client: client.register_script(ADMIT)(keys=keys, args=arguments))
    if answer is None:
        return Admission(lease_id, {})
    word, left, wait, refill = answer
    outcome: str = word.decode()
    headers = {"RateLimit-Policy": limits.policy, "RateLimit": f'"requests";r={left};t={_seconds(refill)}'}
    if outcome == "rate_limited":
        headers["Retry-After"] = str(_seconds(wait))
        raise Problem(
            outcome, f"This sub-token may make {limits.requests_per_second:g} requests per second.", headers=headers
        )
    if outcome == "concurrency_limited":
        headers["Retry-After"] = str(CONCURRENCY_RETRY_SECONDS)
        raise Problem(outcome, f"This sub-token may make {limits.concurrency} calls at a time.", headers=headers)
    return Admission(lease_id, headers)


def keep(sub_token_id: uuid.UUID, lease_id: str, *, lease_seconds: float) -> None:
    """Let a lease that is still held last `lease_seconds` from now: its call was answered, its job goes on."""
    arguments: list[Any] = [lease_id, int(lease_seconds * MICROSECONDS)]
    keys = _keys(sub_token_id)[1:]
    with_redis(lambda client: client.register_script(KEEP)(keys=keys, args=arguments))


def release(sub_token_id: uuid.UUID, lease_id: str) -> None:
    """Give a call's lease back. Doing it twice, or without Redis, does nothing."""
    with_redis(lambda client: release_in(client, sub_token_id, lease_id))


def release_in(client: redis.Redis, sub_token_id: uuid.UUID | str, lease_id: str) -> None:
    """Give a lease back as one more command of `client`, which may be a pipeline."""
    client.zrem(_keys(sub_token_id)[1], lease_id)


def _keys(sub_token_id: uuid.UUID | str) -> list[str]:
    # The braces keep both keys in one slot of a Redis cluster.
    return [f"rate:{{{sub_token_id}}}", f"leases:{{{sub_token_id}}}"]


def _seconds(microseconds: int) -> int:
    return max(1, math.ceil(microseconds / MICROSECONDS))
