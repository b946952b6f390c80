"""Inputs in flight: stored and dropped, and never more bytes than there is room for."""

from __future__ import annotations

import uuid
from concurrent.futures import ThreadPoolExecutor

import pytest
import redis
from pytest_django.fixtures import Settings

from detection.services import blobs
from detection.services.redis import client
from tenants.identifiers import new_id
from tenants.models import Organization
from tests.detection.conftest import Caller
from tests.factories.billing import assert_ledger_clean


def drop(*job_ids: uuid.UUID) -> None:
    blobs.delete_in(client(), job_ids)


def test_bytes_are_counted_while_they_are_there() -> None:
    first, second = new_id(), new_id()
    blobs.put(first, b"x" * 1000)
    blobs.put(second, b"\0\xff" * 50)
    assert blobs.get_many([second, first, new_id()]) == [b"\0\xff" * 50, b"x" * 1000, None]
    assert blobs.bytes_in_flight() == 1100
    blobs.put(first, b"y" * 10)
    assert blobs.bytes_in_flight() == 110
    drop(first)
    drop(first, second)
    assert blobs.bytes_in_flight() == 0
    assert blobs.get_many([first, second]) == [None, None]


def test_there_is_only_so_much_room(settings: Settings) -> None:
    settings.MAX_INPUT_BYTES_IN_FLIGHT = 1000
    kept, refused = new_id(), new_id()
    blobs.put(kept, b"x" * 900)
    with pytest.raises(redis.RedisError, match="NOROOM"):
        blobs.put(refused, b"x" * 101)
    assert blobs.get_many([kept, refused]) == [b"x" * 900, None]
    assert blobs.bytes_in_flight() == 900
    blobs.put(refused, b"x" * 100)
    drop(kept)
    blobs.put(new_id(), b"x" * 900)


def test_the_room_is_never_overdrawn_by_callers_at_once(settings: Settings) -> None:
    settings.MAX_INPUT_BYTES_IN_FLIGHT = 10_000

    def one(_: int) -> bool:
        try:
            blobs.put(new_id(), b"x" * 700)
        except redis.RedisError:
            return False
        return True

    with ThreadPoolExecutor(16) as pool:
        stored = sum(pool.map(one, range(64)))
    assert stored == 14
    assert blobs.bytes_in_flight() == 9800


def test_what_redis_lost_is_forgotten_with_its_minute() -> None:
    job_id = new_id()
    blobs.put(job_id, b"x" * 500)
    client().delete(f"input:{job_id}")
    drop(job_id)
    assert blobs.bytes_in_flight() == 500
    (counter,) = client().keys("inputs:*")
    assert 0 < client().ttl(counter) <= 900 + 120


def test_without_room_a_call_is_refused_and_costs_nothing(
    caller: Caller, alpha: Organization, settings: Settings
) -> None:
    settings.MAX_INPUT_BYTES_IN_FLIGHT = 10
    refused = caller.send()
    assert (refused.status_code, refused.json()["code"]) == (503, "no_capacity")
    assert "Retry-After" in refused
    assert (caller.balance().available_mtok, caller.balance().held_mtok) == (10_000, 0)
    assert_ledger_clean()
    settings.MAX_INPUT_BYTES_IN_FLIGHT = 10_000_000
    assert caller.send(prefer="respond-async").status_code == 202
