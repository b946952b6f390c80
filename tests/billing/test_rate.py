"""Rate and concurrency of a sub-token: exact under a race, refusals free of charge, passing when Redis is away."""

import re
import time
import uuid
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from threading import Barrier
from typing import Any

import pytest
import redis
from django.conf import settings as django_settings

from billing.enums import Level
from billing.models import SubToken
from billing.queries.credentials import Credential
from billing.queries.rate_levels import RateLevel, RateLevels
from billing.services.rate import admit, give_back, keep, release
from billing.services.redis import PAUSE_SECONDS, resume, with_redis
from tenants.api.problems import Problem

THREADS = 32
# Longer than a busy machine takes from one statement to the next.
LEASE_SECONDS = 1.5


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
    assert race(credential("0.01", burst=burst)) == {"admitted": burst, "rate_limited": THREADS - burst}


@pytest.mark.concurrency
@pytest.mark.parametrize("concurrency", [1, 5, 31])
def test_a_race_lets_exactly_so_many_calls_in(concurrency: int) -> None:
    assert race(credential(concurrency=concurrency)) == {
        "admitted": concurrency,
        "concurrency_limited": THREADS - concurrency,
    }


def test_the_bucket_refills_evenly() -> None:
    who, burst, rate = credential("10", burst=2), 2, 10
    started = time.monotonic()
    admitted = sum(outcome(who) == "admitted" for _ in range(200))
    assert burst <= admitted <= burst + (time.monotonic() - started) * rate
    time.sleep(1 / rate)
    assert outcome(who) == "admitted"


def test_a_pause_saves_up_no_more_than_the_burst() -> None:
    who = credential("1", burst=1)
    assert outcome(who) == "admitted"
    time.sleep(2.5)
    started = time.monotonic()
    admitted = sum(outcome(who) == "admitted" for _ in range(5))
    assert 1 <= admitted <= 1 + (time.monotonic() - started)


def test_a_rate_refusal_burns_nothing_and_takes_no_lease() -> None:
    who = credential("0.5", burst=1, concurrency=1)
    started = time.monotonic()
    assert outcome(who, "a") == "admitted"
    release(who, "a")
    for _ in range(20):
        refused = outcome(who) == "rate_limited"
        assert refused or time.monotonic() - started >= 2
    time.sleep(max(2.05 - (time.monotonic() - started), 0))
    assert outcome(who) == "admitted"


def test_a_lease_that_is_kept_outlives_its_call_and_the_calls_after_it() -> None:
    who = credential(concurrency=2)
    admit(who, "job", lease_seconds=LEASE_SECONDS)
    keep(who, "job", lease_seconds=60)
    admit(who, "call", lease_seconds=LEASE_SECONDS)
    assert outcome(who, "third") == "concurrency_limited"
    time.sleep(LEASE_SECONDS + 0.05)
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
    who = credential("0.01", burst=2, concurrency=1)
    assert outcome(who, "a") == "admitted"
    for _ in range(20):
        assert outcome(who) == "concurrency_limited"
    release(who, "a")
    assert outcome(who) == "admitted"


def test_a_dead_owners_lease_ends_by_itself() -> None:
    who = credential(concurrency=1)
    admit(who, "dead", lease_seconds=LEASE_SECONDS)
    assert outcome(who) == "concurrency_limited"
    time.sleep(LEASE_SECONDS + 0.05)
    assert outcome(who) == "admitted"


def test_releasing_twice_frees_one_place() -> None:
    who = credential(concurrency=2)
    admit(who, "a")
    admit(who, "b")
    release(who, "a")
    release(who, "a")
    assert [outcome(who), outcome(who)] == ["admitted", "concurrency_limited"]


def test_sub_tokens_do_not_share() -> None:
    one, other = credential("0.01"), credential("0.01")
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
    who = credential("0.1", concurrency=1)
    admit(who, "a")
    with pytest.raises(Problem) as refusal:
        admit(who, "b")
    assert refusal.value.status == 429
    assert 8 <= int(refusal.value.headers["Retry-After"]) <= 10
    assert re.fullmatch(r'"requests";r=0;t=(8|9|10);level=sub_token', refusal.value.headers["RateLimit"])
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
    admit(credential("5"), "a")
    client = redis.Redis.from_url(django_settings.REDIS_URL)
    keys = client.keys("*")
    assert len(keys) == 2
    assert all(client.pttl(key) > 0 for key in keys)


def test_a_dead_redis_is_not_asked_by_every_call() -> None:
    asked = 0

    def work(client: redis.Redis) -> None:
        nonlocal asked
        asked += 1
        raise redis.TimeoutError

    started = time.monotonic()
    for _ in range(1000):
        assert with_redis(work) is None
    assert 1 <= asked <= 1 + (time.monotonic() - started) / PAUSE_SECONDS


def test_a_flushed_redis_starts_again() -> None:
    who = credential("0.01", concurrency=1)
    assert outcome(who) == "admitted"
    client = redis.Redis.from_url(django_settings.REDIS_URL)
    client.flushdb()
    client.script_flush()
    assert outcome(who) == "admitted"
    assert outcome(who) == "rate_limited"
