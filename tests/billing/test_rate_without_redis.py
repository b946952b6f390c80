"""Redis is really stopped: the organization's policy decides, this process counts; later Redis counts again."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from pytest_django.fixtures import Settings

from billing.services import redis as limits_redis
from billing.services.rate import admit, give_back, release
from billing.services.redis import resume
from portal.embedded import EmbeddedRedis
from tenants.api.problems import Problem
from tests.billing.test_rate import SLOW, credential, organization, outcome, team


@pytest.fixture
def server(tmp_path: Path, settings: Settings) -> Iterator[EmbeddedRedis]:
    """A Redis of this test's own, which it may stop."""
    found = EmbeddedRedis(tmp_path / "redis")
    settings.REDIS_URL = found.url()
    resume()
    yield found
    found.stop()
    resume()


def test_by_default_calls_pass_and_this_process_counts_them(server: EmbeddedRedis) -> None:
    who = credential(SLOW, burst=3, above=(team(requests_per_day=9), organization(concurrency=9)))
    assert outcome(who) == "admitted"
    server.stop()
    # What Redis had counted is unknown here, so the process begins to count anew.
    assert [outcome(who) for _ in range(4)] == ["admitted", "admitted", "admitted", "rate_limited"]


def test_days_and_concurrency_are_bounded_too_and_a_refusal_counts_nothing(server: EmbeddedRedis) -> None:
    server.stop()
    who = credential(concurrency=2, above=(organization(requests_per_day=3),))
    assert [outcome(who, "a"), outcome(who, "b"), outcome(who, "c")] == ["admitted", "admitted", "concurrency_limited"]
    release(who, "a")
    assert [outcome(who, "c"), outcome(who, "d")] == ["admitted", "quota_exceeded"]
    release(who, "b")
    release(who, "c")
    assert outcome(who, "d") == "quota_exceeded"


def test_what_is_given_back_was_never_counted(server: EmbeddedRedis) -> None:
    server.stop()
    who = credential(SLOW, burst=2, concurrency=1, above=(team(requests_per_day=1),))
    for _ in range(5):
        give_back(who, admit(who, "call"))
    assert [outcome(who), outcome(who)] == ["admitted", "quota_exceeded"]


def test_an_organization_can_have_calls_refused(server: EmbeddedRedis) -> None:
    who = credential(refuse_uncounted=True)
    assert outcome(who) == "admitted"
    server.stop()
    with pytest.raises(Problem) as caught:
        admit(who, "a")
    assert (caught.value.code, caught.value.status) == ("no_capacity", 503)
    assert caught.value.headers["Retry-After"] == "1"


def test_a_stopped_redis_costs_most_calls_no_time(server: EmbeddedRedis, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    client_of = limits_redis._client

    def counted(url: str) -> Any:
        asked.append(url)
        return client_of(url)

    # Within one pause, however long the machine takes over the calls.
    monkeypatch.setattr(limits_redis, "time", SimpleNamespace(monotonic=lambda: 1000.0))
    monkeypatch.setattr(limits_redis, "_client", counted)
    who = credential()
    server.stop()
    assert {outcome(who) for _ in range(50)} == {"admitted"}
    assert len(asked) == 1


def test_when_redis_comes_back_it_counts_again(tmp_path: Path, server: EmbeddedRedis, settings: Settings) -> None:
    who = credential(SLOW, burst=1)
    server.stop()
    assert outcome(who) == "admitted"
    again = EmbeddedRedis(tmp_path / "redis")
    try:
        settings.REDIS_URL = again.url()
        resume()
        assert [outcome(who), outcome(who)] == ["admitted", "rate_limited"]
    finally:
        again.stop()
