"""Real connections racing each other: the tools of the tests in this folder."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
from django.db import connections

from billing.models import Account
from tenants.identifiers import new_id
from tests.factories.billing import NOW

PLACE = "SELECT outcome FROM billing_place_hold(%s, %s, %s, %s, %s, %s, %s, %s)"


@contextmanager
def connect(*, platform: bool = False, owner: bool = False) -> Iterator[psycopg.Connection]:
    """Open a connection of its own: as the restricted role, through the platform's door, or as the owner."""
    parameters = connections["owner" if owner else "default"].get_connection_params()
    with psycopg.connect(**parameters, autocommit=True) as connection:
        # A deadlock or a lock that is never released must fail the test, not stop it.
        connection.execute("SET lock_timeout = '60s'")
        if platform:
            connection.execute("SET ROLE tokensight_platform")
        yield connection


def place(connection: psycopg.Connection, account: Account, mtok: int, key: str | None = None) -> tuple[str, str]:
    """Place a hold and return (outcome, hold id)."""
    hold_id = str(new_id())
    row = connection.execute(
        PLACE, [account.organization_id, account.id, hold_id, mtok, key or hold_id, hold_id, NOW, NOW]
    ).fetchone()
    assert row
    return row[0], hold_id


def end(pid: int, *, by: psycopg.Connection) -> None:
    """End the server process `pid` from a connection of the owner, and return when it has ended."""
    assert by.execute("SELECT pg_terminate_backend(%s, 60000)", [pid]).fetchone() == (True,)


# Who waits for a process, or for one that waits for it.
_BEHIND = """
WITH RECURSIVE behind AS (
    SELECT %s::int AS pid
    UNION
    SELECT lock.pid FROM pg_locks lock JOIN behind ON behind.pid = ANY (pg_blocking_pids(lock.pid))
    WHERE NOT lock.granted
)
SELECT count(*) - 1 FROM behind
"""


def wait_until_somebody_waits_for(pid: int, *, watch: psycopg.Connection, count: int = 1) -> None:
    """Return when `count` connections wait for what the server process `pid` has locked, seen from `watch`.

    Other databases of the same server, which other tests use at the same time, are none of its business.
    """
    until = time.monotonic() + 60
    while ((row := watch.execute(_BEHIND, [pid]).fetchone()) or (0,))[0] < count:
        assert time.monotonic() < until, f"of {count} to wait for it came {row}"
        time.sleep(0.01)


def race(runners: Iterable[Callable[[], Any]]) -> Counter[Any]:
    """Start all runners at the same moment, each in a thread, and count what they return; raise what one raises."""
    runners = list(runners)
    barrier, results, errors = threading.Barrier(len(runners)), [], []

    def start(runner: Callable[[], Any]) -> None:
        try:
            barrier.wait(timeout=60)
            results.append(runner())
        except BaseException as error:
            errors.append(error)
            barrier.abort()
        finally:
            connections.close_all()

    threads = [threading.Thread(target=start, args=(runner,)) for runner in runners]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]
    return Counter(results)
