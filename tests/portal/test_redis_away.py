"""Signing in while Redis is really stopped: it works, quickly, and attempts stay bounded."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from http import HTTPStatus
from pathlib import Path
from types import SimpleNamespace

import pytest
import redis
from celery import Celery
from django.conf import settings as project_settings
from django.core.cache import cache
from django.test import Client
from pytest_django.fixtures import Settings
from redis.exceptions import RedisError

from portal import cache as steady
from portal.celery import broker_url
from portal.embedded import EmbeddedRedis
from tenants.models import Organization, User
from tests.factories.tenants import PASSWORD

pytestmark = pytest.mark.django_db


@pytest.fixture
def server(tmp_path: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[EmbeddedRedis]:
    """A Redis of this test alone, which the cache uses and the test may stop."""
    monkeypatch.setattr(steady, "_paused_until", 0.0)
    here = EmbeddedRedis(tmp_path / "redis")
    settings.CACHES = {"default": {**project_settings.CACHES["default"], "LOCATION": here.url()}}
    cache.clear()
    cache._memory.clear()
    yield here
    here.stop()


def sign_in(user: User, password: str = PASSWORD) -> Client:
    client = Client()
    client.post("/accounts/login/", {"login": user.email, "password": password})
    return client


def signed_in(client: Client) -> bool:
    return "_auth_user_id" in client.session


def test_a_person_signs_in_and_out_and_sees_pages_without_redis(
    server: EmbeddedRedis, alice: User, alpha: Organization, monkeypatch: pytest.MonkeyPatch
) -> None:
    failures: list[RedisError] = []

    def note(_event: str, *, error: RedisError, **_: object) -> None:
        failures.append(error)

    # Within one pause, however long the machine takes over the pages.
    monkeypatch.setattr(steady, "time", SimpleNamespace(monotonic=lambda: 1000.0))
    monkeypatch.setattr(steady.log, "warning", note)
    server.stop()
    client = sign_in(alice)
    assert signed_in(client)
    assert client.get("/o/alpha/members/").status_code == HTTPStatus.OK
    client.post("/accounts/logout/")
    assert not signed_in(client)
    assert len(failures) == 1, "nobody waits for a dead server again and again"


def test_passwords_cannot_be_tried_without_end_without_redis(server: EmbeddedRedis, alice: User) -> None:
    server.stop()
    for _ in range(12):
        sign_in(alice, "wrong")
    assert not signed_in(sign_in(alice)), "after ten wrong ones the right one waits, too"


def test_what_was_counted_in_redis_counts_when_it_is_back(server: EmbeddedRedis, alice: User) -> None:
    for _ in range(12):
        sign_in(alice, "wrong")
    assert cache._memory._cache == {}, "this was Redis"
    assert not signed_in(sign_in(alice))


def test_the_cache_goes_back_to_redis(server: EmbeddedRedis, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    cache.set("a", 1)
    monkeypatch.setattr(steady, "_paused_until", time.monotonic() + 60)
    assert cache.get("a") is None
    assert cache.add("b", 2)
    assert cache.incr("b") == 3
    monkeypatch.setattr(steady, "_paused_until", 0.0)
    assert cache.get("a") == 1
    assert cache.get("b") is None


def test_a_full_redis_ends_no_worker(server: EmbeddedRedis, tmp_path: Path) -> None:
    """What a worker notes of a message is refused by a full Redis, which to Celery alone is the end of the process."""
    client, log = redis.Redis.from_url(server.url(), socket_timeout=60), tmp_path / "worker.log"
    with Celery(broker=broker_url(server.url()), set_as_current=False) as app:
        for _ in range(3):
            app.send_task("nobody.knows_it", queue="maintenance")
    client.config_set("maxmemory-policy", "noeviction")
    client.config_set("maxmemory", "1")
    with log.open("w") as output:
        worker = subprocess.Popen(
            [sys.executable, "-m", "celery", "--app", "portal.celery", "worker", "--queues", "maintenance",
             "--pool", "solo", "--without-gossip", "--without-mingle", "--without-heartbeat"],
            env={**os.environ, "REDIS_URL": server.url(), "DEVELOPMENT": "1"},
            stdout=output,
            stderr=subprocess.STDOUT,
        )  # fmt: skip
    try:
        assert until(lambda: "maxmemory" in log.read_text() or worker.poll() is not None), log.read_text()
        time.sleep(1)
        assert worker.poll() is None, log.read_text()
        client.config_set("maxmemory", "0")
        assert until(lambda: client.llen("maintenance") == 0)
        assert worker.poll() is None
    finally:
        worker.terminate()
        worker.wait(60)


def until(condition: Callable[[], bool], seconds: float = 60) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.2)
    return False
