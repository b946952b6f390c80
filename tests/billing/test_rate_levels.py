"""Rates, requests per day and calls at a time on several levels: all or nothing, whichever level refuses."""

from __future__ import annotations

import math
import re
import uuid
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from threading import Barrier
from typing import Any

import pytest
import redis
from django.conf import settings
from django.utils import timezone

from billing.enums import LEVEL_OF_KIND, AccountKind, Level
from billing.models import Account
from billing.queries.credentials import credential_for_secret, credential_for_sub_token, forget_credentials
from billing.queries.limits import account_limits
from billing.services.rate import Admission, admit, give_back, keep, release, release_in, requests_today, take_place
from tenants.api.problems import Problem
from tenants.models import Organization
from tenants.scope import organization_scope
from tests.billing.test_rate import LEASE_SECONDS, SLOW, credential, let_pass, organization, outcome, team, use_up
from tests.factories.billing import make_capped_account, make_wallet
from tests.factories.limits import make_limits
from tests.factories.sub_tokens import make_sub_token

THREADS = 24


def refusal(who: Any) -> Problem:
    with pytest.raises(Problem) as caught:
        admit(who, str(uuid.uuid4()))
    return caught.value


def everything_in_redis() -> dict[bytes, Any]:
    client = redis.Redis.from_url(settings.REDIS_URL, socket_timeout=60)
    kinds = {b"string": client.get, b"zset": lambda key: client.zrange(key, 0, -1)}
    return {key: kinds[client.type(key)](key) for key in client.keys("*")}


@pytest.mark.parametrize("level", [0, 1, 2])
@pytest.mark.parametrize(
    ("bound", "code", "limit"),
    [
        ({"requests_per_second": float(SLOW), "burst": 2}, "rate_limited", "requests_per_second"),
        ({"requests_per_day": 2}, "quota_exceeded", "requests_per_day"),
        ({"concurrency": 2}, "concurrency_limited", "concurrency"),
    ],
)
def test_each_limit_binds_on_each_level_and_a_refusal_changes_nothing(
    level: int, bound: dict[str, Any], code: str, limit: str
) -> None:
    above = [team(), organization()]
    if level:
        above[level - 1] = [team, organization][level - 1](**bound)
        who = credential(SLOW, burst=100, above=tuple(above))
    else:
        own = {"rate": SLOW, "burst": 100} | dict(bound)
        rate, per_day = own.pop("requests_per_second", own.pop("rate")), own.pop("requests_per_day", None)
        who = credential(str(rate), per_day=per_day, above=tuple(above), **own)
    assert [outcome(who), outcome(who)] == ["admitted", "admitted"]
    before = everything_in_redis()
    problem = refusal(who)
    assert (problem.code, problem.status, problem.extra["limit"]) == (code, 429, limit)
    assert problem.extra["level"] == [Level.SUB_TOKEN, Level.TEAM, Level.ORGANIZATION][level]
    assert int(problem.headers["Retry-After"]) >= 1
    assert everything_in_redis() == before


def test_sub_tokens_of_one_team_share_its_rate_and_another_teams_do_not() -> None:
    org, shared = uuid.uuid4(), team(requests_per_second=float(SLOW), burst=3)
    one, two = (credential(above=(shared,), organization_id=org) for _ in range(2))
    other = credential(above=(team(requests_per_second=float(SLOW), burst=3),), organization_id=org)
    assert [outcome(one), outcome(two), outcome(one), outcome(two), outcome(other)] == [
        "admitted", "admitted", "admitted", "rate_limited", "admitted",
    ]  # fmt: skip


@pytest.mark.concurrency
@pytest.mark.parametrize(
    "bound", [{"requests_per_second": float(SLOW), "burst": 7}, {"requests_per_day": 7}, {"concurrency": 7}]
)
def test_a_race_on_several_levels_lets_exactly_so_many_pass(bound: dict[str, Any]) -> None:
    org, top = uuid.uuid4(), organization(**bound)
    callers = [credential(above=(team(concurrency=5), top), organization_id=org) for _ in range(4)]
    start = Barrier(THREADS)

    def one(number: int) -> str:
        start.wait()
        return outcome(callers[number % 4])

    with ThreadPoolExecutor(THREADS) as pool:
        counted = Counter(pool.map(one, range(THREADS)))
    assert counted["admitted"] == 7


def test_what_is_given_back_was_never_used() -> None:
    who = credential(
        SLOW, burst=2, concurrency=1, per_day=1, above=(team(requests_per_day=1), organization(concurrency=1))
    )
    for _ in range(5):
        admission = admit(who, "call")
        give_back(who, admission)
        give_back(who, admission)
    assert everything_in_redis().keys() <= {key for key in everything_in_redis() if key.startswith(b"day:")}
    assert [outcome(who), outcome(who)] == ["admitted", "quota_exceeded"]


@pytest.mark.parametrize(
    ("bounds", "code"), [({"rate": SLOW, "burst": 2}, "rate_limited"), ({"per_day": 2}, "quota_exceeded")]
)
def test_giving_back_twice_gives_back_once(bounds: dict[str, Any], code: str) -> None:
    who = credential(**bounds)
    first, _second = admit(who, "first"), admit(who, "second")
    give_back(who, first)
    give_back(who, first)
    assert [outcome(who), outcome(who)] == ["admitted", code]


def test_a_lease_is_kept_and_released_on_all_levels() -> None:
    who = credential(concurrency=2, above=(team(concurrency=2), organization(concurrency=1)))
    admit(who, "job", lease_seconds=LEASE_SECONDS)
    keep(who, "job", lease_seconds=LEASE_SECONDS * 10)
    let_pass(LEASE_SECONDS)
    assert outcome(who) == "concurrency_limited"
    client = redis.Redis.from_url(settings.REDIS_URL, socket_timeout=60)
    with client.pipeline(transaction=False) as pipe:
        release_in(pipe, str(who.organization_id), str(who.sub_token_id), "job")
        pipe.execute()
    assert outcome(who, "next") == "admitted"
    release(who, "next")
    assert not [key for key in client.keys("*") if key.startswith((b"lease:", b"leases:"))]


def test_a_dead_owners_lease_ends_by_itself_on_all_levels() -> None:
    who = credential(concurrency=1, above=(organization(concurrency=1),))
    admit(who, "dead", lease_seconds=LEASE_SECONDS)
    assert outcome(who) == "concurrency_limited"
    let_pass(LEASE_SECONDS)
    assert outcome(who) == "admitted"


def test_a_place_alone_counts_no_request() -> None:
    who = credential(SLOW, burst=1, concurrency=5, per_day=1, above=(organization(concurrency=2),))
    assert [take_place(who, name, lease_seconds=LEASE_SECONDS) for name in ("a", "b", "c")] == [True, True, False]
    release(who, "a")
    assert outcome(who) == "admitted"
    assert not take_place(who, "d", lease_seconds=LEASE_SECONDS)


def test_the_day_begins_at_midnight_utc() -> None:
    who = credential(per_day=1)
    assert isinstance(admit(who, "a"), Admission)

    def until_midnight() -> float:
        return 86_400 - timezone.now().timestamp() % 86_400

    longest = until_midnight()
    problem = refusal(who)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT00:00:00Z", problem.extra["resets_at"])
    assert until_midnight() <= int(problem.headers["Retry-After"]) <= math.ceil(longest)
    client = redis.Redis.from_url(settings.REDIS_URL, socket_timeout=60)
    (key,) = client.keys("day:*")
    left_ms = client.pttl(key)
    assert until_midnight() - 1 <= left_ms / 1000 <= longest + 1
    today = int(timezone.now().timestamp() // 86_400)
    client.set(key, f"{today - 1}:1")
    assert outcome(who) == "admitted"


def test_the_headers_name_the_level_that_has_the_least_left() -> None:
    who = credential(
        "10", burst=10, per_day=50, above=(team(requests_per_second=2.0, burst=4), organization(requests_per_day=9))
    )
    headers = admit(who, "a").headers
    assert '"requests";q=4;w=2;level=team' in headers["RateLimit-Policy"]
    assert '"requests-per-day";q=9;w=86400;level=organization' in headers["RateLimit-Policy"]
    assert '"requests";r=3;t=1;level=team, "requests-per-day";r=8;' in headers["RateLimit"]


@pytest.fixture
def secret(alpha: Organization) -> str:
    """A sub-token two levels below its organization's wallet, with limits on all three levels."""
    wallet = make_wallet(alpha, 1_000)
    pool = make_capped_account(wallet, None, kind=AccountKind.TEAM_POOL)
    sub_token, secret = make_sub_token(alpha)
    account = make_capped_account(pool, None)
    with organization_scope(alpha.id):
        type(sub_token).objects.filter(id=sub_token.id).update(account=account)
    make_limits(wallet, requests_per_second=Decimal("50"), concurrency=20)
    make_limits(pool, requests_per_day=100, hour=5)
    make_limits(account, requests_per_second=Decimal("2.5"), burst=3, requests_per_day=10)
    return secret


def test_a_credential_carries_the_bounds_of_all_levels(fresh_process: None, alpha: Organization, secret: str) -> None:
    found = credential_for_secret(secret)
    assert found
    own, pool, top, plan = found.rates.levels
    assert (own.level, own.requests_per_second, own.burst, own.requests_per_day) == (Level.SUB_TOKEN, 2.5, 3, 10)
    assert (pool.level, pool.requests_per_second, pool.requests_per_day) == (Level.TEAM, None, 100)
    assert (top.level, top.requests_per_second, top.burst, top.concurrency) == (Level.ORGANIZATION, 50.0, 50, 20)
    assert (plan.level, plan.requests_per_second, plan.concurrency) == (Level.ORGANIZATION, 1000.0, 256)
    assert (top.plan, plan.plan) == (None, found.plan)
    with organization_scope(alpha.id):
        assert credential_for_sub_token(alpha.id, found.sub_token_id).rates == found.rates
    forget_credentials()


def test_the_pages_read_what_was_counted_today(fresh_process: None, alpha: Organization, secret: str) -> None:
    found = credential_for_secret(secret)
    assert found
    for _ in range(3):
        admit(found, str(uuid.uuid4()))
    with organization_scope(alpha.id):
        rows = account_limits(Account.objects.filter(kind__in=LEVEL_OF_KIND))
        counted = requests_today(alpha.id, rows, now=timezone.now())
    assert {row.level: counted[row.account.id] for row in rows if row.account.id in counted} == {
        Level.TEAM: 3,
        Level.SUB_TOKEN: 3,
    }


@pytest.mark.parametrize(
    ("bounds", "said"),
    [
        ({"requests_per_second": 1.0, "burst": 1}, "1 request per second."),
        ({"requests_per_second": 0.5, "burst": 1}, "0.5 requests per second."),
        ({"requests_per_day": 1}, "1 request per day (UTC)."),
        ({"concurrency": 1}, "1 call at a time."),
    ],
)
def test_one_is_told_in_the_singular(bounds: dict[str, Any], said: str) -> None:
    who = credential(above=(team(), organization(**bounds)))
    admit(who, "first")
    if "requests_per_second" in bounds:
        use_up(who, 2)
    assert str(refusal(who).detail).endswith(said)
