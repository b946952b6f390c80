"""Rate and concurrency of a sub-token: exact under a race, refusals free of charge, passing when Redis is away."""

import uuid
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from threading import Barrier
from types import SimpleNamespace
from typing import Any

import pytest
import redis
from django.conf import settings as django_settings
from pytest_django.fixtures import Settings

from billing.enums import Level
from billing.models import SubToken
from billing.queries.credentials import Credential
from billing.queries.rate_levels import RateLevel, RateLevels
from billing.services import redis as limits_redis
from billing.services.rate import admit, give_back, keep, release
from billing.services.redis import PAUSE_SECONDS, resume, with_redis
from portal.embedded import EmbeddedRedis
from tenants.api.problems import Problem

THREADS = 32
# One request in so many seconds: longer than any test takes, however busy the machine is.
SLOW, SLOW_SECONDS = "0.001", 1000
LEASE_SECONDS = 120.0


@pytest.fixture(autouse=True)
def _resumed() -> Iterator[None]:
    resume()
    yield
    resume()


def credential(
    rate: str | None = None,
    burst: int | None = None,
    concurrency: int | None = None,
    *,
    above: tuple[RateLevel, ...] = (),
    per_day: int | None = None,
    organization_id: uuid.UUID | None = None,
    refuse_uncounted: bool = False,
) -> Credential:
    sub_token = SubToken(
        id=uuid.uuid4(),
        organization_id=organization_id or uuid.uuid4(),
        account_id=uuid.uuid4(),
        expires_at=datetime(2099, 1, 1, tzinfo=UTC),
        requests_per_second=None if rate is None else Decimal(rate),
        burst=burst,
        concurrency=concurrency,
    )
    sub_token.secret_ends_at = None
    found = Credential.of(sub_token)
    own = replace(found.rates.levels[0], requests_per_day=per_day)
    return replace(found, rates=RateLevels((own, *above), refuse_uncounted))


def team(**bounds: Any) -> RateLevel:
    return RateLevel(Level.TEAM, str(uuid.uuid4()), **bounds)


def organization(**bounds: Any) -> RateLevel:
    return RateLevel(Level.ORGANIZATION, str(uuid.uuid4()), **bounds)


def outcome(who: Credential, lease: str | None = None) -> str:
    try:
        admit(who, lease or str(uuid.uuid4()))
    except Problem as problem:
        return problem.code
    return "admitted"


def let_pass(seconds: float) -> None:
    """Make everything that Redis counts as old as if so many seconds had gone by.

    The scripts go by Redis' own clock, which nobody can set, so the times that it keeps are moved instead.
    """
    client = redis.Redis.from_url(django_settings.REDIS_URL, socket_timeout=60)
    microseconds, milliseconds = round(seconds * 1_000_000), round(seconds * 1000)
    for key in client.keys("rate:*"):
        client.set(key, int(client.get(key)) - microseconds, keepttl=True)
    for key in client.keys("leases:*"):
        for lease in client.zrange(key, 0, -1):
            client.zincrby(key, -microseconds, lease)
    for pattern in ("rate:*", "leases:*", "lease:*"):
        for key in client.keys(pattern):
            client.pexpire(key, client.pttl(key) - milliseconds)


def use_up(who: Credential, level: int) -> None:
    """Leave nothing of a level's rate for an hour: a rate of some requests a second is back before a slow test is."""
    client = redis.Redis.from_url(django_settings.REDIS_URL, socket_timeout=60)
    (now, _), bound = client.time(), who.rates.levels[level]
    key = f"rate:{{{who.organization_id}}}:{bound.key}:{bound.requests_per_second:g}"
    client.set(key, (now + 3600) * 1_000_000, ex=3600)


def race(who: Credential) -> Counter[str]:
    start = Barrier(THREADS)

    def one(_: int) -> str:
        start.wait()
        return outcome(who)

    with ThreadPoolExecutor(THREADS) as pool:
        return Counter(pool.map(one, range(THREADS)))


@pytest.mark.concurrency
@pytest.mark.parametrize("burst", [1, 7, 31])
def test_a_race_lets_exactly_the_burst_pass(burst: int) -> None:
    assert race(credential(SLOW, burst=burst)) == {"admitted": burst, "rate_limited": THREADS - burst}


@pytest.mark.concurrency
@pytest.mark.parametrize("concurrency", [1, 5, 31])
def test_a_race_lets_exactly_so_many_calls_in(concurrency: int) -> None:
    assert race(credential(concurrency=concurrency)) == {
        "admitted": concurrency,
        "concurrency_limited": THREADS - concurrency,
    }


def test_the_bucket_refills_evenly() -> None:
    who = credential(SLOW, burst=2)
    assert Counter(outcome(who) for _ in range(20)) == {"admitted": 2, "rate_limited": 18}
    let_pass(SLOW_SECONDS / 4)
    assert outcome(who) == "rate_limited"
    let_pass(SLOW_SECONDS * 3 / 4)
    assert [outcome(who), outcome(who)] == ["admitted", "rate_limited"]
    let_pass(SLOW_SECONDS * 2)
    assert [outcome(who), outcome(who), outcome(who)] == ["admitted", "admitted", "rate_limited"]


def test_a_pause_saves_up_no_more_than_the_burst() -> None:
    who = credential(SLOW, burst=1)
    assert outcome(who) == "admitted"
    let_pass(SLOW_SECONDS * 2.5)
    assert [outcome(who), outcome(who)] == ["admitted", "rate_limited"]


def test_a_rate_refusal_burns_nothing_and_takes_no_lease() -> None:
    who = credential(SLOW, burst=1, concurrency=1)
    assert outcome(who, "a") == "admitted"
    release(who, "a")
    assert [outcome(who) for _ in range(20)] == ["rate_limited"] * 20
    let_pass(SLOW_SECONDS)
    assert outcome(who) == "admitted"


def test_a_lease_that_is_kept_outlives_its_call_and_the_calls_after_it() -> None:
    who = credential(concurrency=2)
    admit(who, "job", lease_seconds=LEASE_SECONDS)
    keep(who, "job", lease_seconds=LEASE_SECONDS * 10)
    admit(who, "call", lease_seconds=LEASE_SECONDS)
    assert outcome(who, "third") == "concurrency_limited"
    let_pass(LEASE_SECONDS)
    assert [outcome(who, "third"), outcome(who, "fourth")] == ["admitted", "concurrency_limited"]
    release(who, "job")
    assert outcome(who, "fourth") == "admitted"


def test_a_lease_that_was_given_back_is_not_kept() -> None:
    who = credential(concurrency=1)
    admit(who, "job")
    release(who, "job")
    keep(who, "job", lease_seconds=60)
    assert outcome(who, "next") == "admitted"


def test_a_concurrency_refusal_burns_no_rate() -> None:
    who = credential(SLOW, burst=2, concurrency=1)
    assert outcome(who, "a") == "admitted"
    for _ in range(20):
        assert outcome(who) == "concurrency_limited"
    release(who, "a")
    assert outcome(who) == "admitted"


def test_a_dead_owners_lease_ends_by_itself() -> None:
    who = credential(concurrency=1)
    admit(who, "dead", lease_seconds=LEASE_SECONDS)
    assert outcome(who) == "concurrency_limited"
    let_pass(LEASE_SECONDS)
    assert outcome(who) == "admitted"


def test_releasing_twice_frees_one_place() -> None:
    who = credential(concurrency=2)
    admit(who, "a")
    admit(who, "b")
    release(who, "a")
    release(who, "a")
    assert [outcome(who), outcome(who)] == ["admitted", "concurrency_limited"]


def test_sub_tokens_do_not_share() -> None:
    one, other = credential(SLOW), credential(SLOW)
    assert (outcome(one), outcome(one), outcome(other)) == ("admitted", "rate_limited", "admitted")


def test_the_headers_say_what_is_left() -> None:
    who = credential("2", burst=4, concurrency=3)
    headers = admit(who, "a").headers
    assert headers["RateLimit-Policy"] == (
        '"requests";q=4;w=2;level=sub_token, "concurrency";q=3;qu="concurrent-requests";level=sub_token'
    )
    assert headers["RateLimit"] == '"requests";r=3;t=1;level=sub_token'
    assert "Retry-After" not in headers


def test_a_refusal_says_when_to_come_again() -> None:
    who = credential(SLOW, concurrency=1)
    admit(who, "a")
    with pytest.raises(Problem) as refusal:
        admit(who, "b")
    assert refusal.value.status == 429
    wait = int(refusal.value.headers["Retry-After"])
    # What is left of it after a moment, which on a busy machine may be a long one.
    assert SLOW_SECONDS / 2 < wait <= SLOW_SECONDS
    assert refusal.value.headers["RateLimit"] == f'"requests";r=0;t={wait};level=sub_token'
    busy = credential(concurrency=1)
    admit(busy, "a")
    with pytest.raises(Problem) as refusal:
        admit(busy, "b")
    assert refusal.value.headers["Retry-After"] == "1"


def test_without_bounds_nothing_is_counted_and_a_call_is_given_back_once_all_the_same() -> None:
    who = credential()
    assert [outcome(who) for _ in range(50)] == ["admitted"] * 50
    admission = admit(who, "a")
    assert admission.headers == {}
    give_back(who, admission)
    give_back(who, admission)


def test_nothing_stays_in_redis_for_ever() -> None:
    who = credential(SLOW)
    admit(who, "a")
    client = redis.Redis.from_url(django_settings.REDIS_URL, socket_timeout=60)
    keys = client.keys(f"*{who.organization_id}*")
    assert len(keys) == 2
    assert all(client.pttl(key) > 0 for key in keys)


def test_a_dead_redis_is_not_asked_by_every_call(monkeypatch: pytest.MonkeyPatch) -> None:
    asked, clock = 0, SimpleNamespace(now=1000.0, monotonic=lambda: clock.now)
    monkeypatch.setattr(limits_redis, "time", clock)

    def work(client: redis.Redis) -> None:
        nonlocal asked
        asked += 1
        raise redis.TimeoutError

    for expected in (1, 2):
        for _ in range(100):
            assert with_redis(work) is None
        clock.now += PAUSE_SECONDS - 0.01
        assert with_redis(work) is None
        assert asked == expected
        clock.now += 0.02


def test_a_flushed_redis_starts_again(tmp_path: Path, settings: Settings) -> None:
    # One of this test's own: scripts belong to the whole server, and others use theirs at this moment.
    server = EmbeddedRedis(tmp_path / "redis")
    try:
        settings.REDIS_URL = server.url()
        who = credential(SLOW, concurrency=1)
        assert outcome(who) == "admitted"
        client = redis.Redis.from_url(server.url(), socket_timeout=60)
        client.flushdb()
        client.script_flush()
        assert outcome(who) == "admitted"
        assert outcome(who) == "rate_limited"
    finally:
        server.stop()
