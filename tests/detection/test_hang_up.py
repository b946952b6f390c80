"""A caller who hangs up before the job starts pays nothing; later, the price, and finds the result under its id."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from detection.models import Job, ModelVersion
from detection.services import liveness
from tenants.scope import platform_scope
from tests.detection.conftest import Caller
from tests.detection.images import picture
from tests.detection.live import Server, live_server
from tests.detection.machine import ALIVE_SECONDS, FOUND, PATIENCE_SECONDS, until, worker
from tests.detection.test_charging import spent

pytestmark = pytest.mark.usefixtures("committed_db")


@pytest.fixture
def server(caller: Caller, tmp_path: Path) -> Iterator[Server]:
    with live_server(tmp_path) as running:
        yield running


def call(server: Server, caller: Caller) -> socket.socket:
    """Send a whole call and return the connection on which the answer would come."""
    image = picture()
    head = (
        f"POST /v1/detect?model=blank-n HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {caller.secret}\r\n"
        f"Content-Type: image/png\r\nContent-Length: {len(image)}\r\n\r\n"
    )
    connection = socket.create_connection(("127.0.0.1", server.port))
    connection.sendall(head.encode() + image)
    return connection


def only_job() -> Job | None:
    with platform_scope("test"):
        return Job.objects.first()


def test_before_the_job_starts(server: Server, caller: Caller) -> None:
    """new-api#5288, #4168: a caller who is gone is charged, though nothing was done for them."""
    # Without any worker the call would be given up by itself.
    liveness.report("busy", {}, seconds=ALIVE_SECONDS)
    connection = call(server, caller)
    until(lambda: only_job())
    assert caller.balance().held_mtok == 700
    connection.close()
    until(lambda: only_job().status == "cancelled")
    assert spent(caller, 0)


def test_after_the_job_has_started(server: Server, caller: Caller, version: ModelVersion) -> None:
    """new-api#5235: a caller who hangs up gets everything back, though the work was done."""

    gone = threading.Event()

    def slow(_: bytes) -> list:
        assert gone.wait(PATIENCE_SECONDS)
        # The server looks after its callers twice a second. Whether it has by then changes nothing of what follows.
        time.sleep(1.5)
        return FOUND

    with worker(version, slow) as running:
        connection = call(server, caller)
        assert running.started.wait(PATIENCE_SECONDS)
        connection.close()
        gone.set()
        until(lambda: only_job().status != "running")
    job = only_job()
    assert job.status == "succeeded"
    assert caller.get(f"/v1/jobs/{job.id}").json()["predictions"] == FOUND
    assert spent(caller, 700)


def test_who_stays_on_the_line_gets_the_answer(server: Server, caller: Caller, version: ModelVersion) -> None:
    def slow(_: bytes) -> list:
        time.sleep(1.5)
        return FOUND

    with worker(version, slow), call(server, caller) as connection:
        connection.settimeout(PATIENCE_SECONDS)
        assert connection.recv(65536).startswith(b"HTTP/1.1 200")
    assert spent(caller, 700)
