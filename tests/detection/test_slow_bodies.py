"""Who sends an image a byte at a time is refused, and keeps no thread from anybody; who is only slow is served."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import cast

import httpx
import pytest
from pytest_django.fixtures import Settings

from tenants.api.slow_bodies import CHUNK_BYTES, TICK_SECONDS, WatchedBody
from tests.detection.conftest import Caller
from tests.detection.images import picture
from tests.detection.live import Server, live_server

pytestmark = pytest.mark.usefixtures("committed_db")
THREADS = 2
# So slow that what was sent in time counts for longer than a busy machine takes.
BYTES_PER_SECOND = 500


@pytest.fixture
def serve(caller: Caller, tmp_path: Path) -> Iterator[Callable[[float], Server]]:
    """Start a server that gives a body so many seconds before it looks at how fast it comes."""
    with ExitStack() as stack:

        def start(grace_seconds: float) -> Server:
            bounds = {"UPLOAD_GRACE_SECONDS": grace_seconds, "UPLOAD_BYTES_PER_SECOND": BYTES_PER_SECOND}
            environment = {name: str(value) for name, value in bounds.items()}
            return stack.enter_context(live_server(tmp_path, WEB_THREADS=str(THREADS), **environment))

        yield start


def begin(server: Server, head: str, length: int, first: bytes = b"") -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", server.port), timeout=120)
    connection.sendall(f"POST {head}\r\nHost: localhost\r\nContent-Length: {length}\r\n\r\n".encode() + first)
    return connection


def detect(caller: Caller) -> str:
    return (
        f"/v1/detect?model=blank-n HTTP/1.1\r\nAuthorization: Bearer {caller.secret}\r\nContent-Type: image/png"
        "\r\nPrefer: respond-async"
    )


def trickle(connection: socket.socket, stop: threading.Event) -> None:
    while not stop.wait(0.2):
        try:
            connection.send(b"x")
        except OSError:
            return


def answer(connection: socket.socket) -> bytes:
    """Return head and body of an answer in JSON."""
    received = b""
    while not received.endswith(b"}"):
        more = connection.recv(4096)
        assert more, received
        received += more
    return received


@pytest.mark.parametrize("secret", [True, False], ids=["with a secret", "without"])
def test_a_byte_now_and_then_keeps_nobody_waiting(
    serve: Callable[[float], Server], caller: Caller, secret: bool
) -> None:
    server = serve(1)
    head = detect(caller) if secret else "/v1/detect HTTP/1.1\r\nContent-Type: image/png"
    stop = threading.Event()
    slow = [begin(server, head, 1_000_000) for _ in range(THREADS)]
    threads = [threading.Thread(target=trickle, args=(connection, stop)) for connection in slow]
    for thread in threads:
        thread.start()
    try:
        time.sleep(0.5)
        assert httpx.get(f"{server.url}/healthz", timeout=120).status_code == 200
        answers = [answer(connection) for connection in slow]
        if secret:
            assert all(b" 400 " in told and b"too slowly" in told for told in answers)
        else:
            assert all(b" 401 " in told for told in answers)
    finally:
        stop.set()
        for thread in threads:
            thread.join()
        for connection in slow:
            connection.close()
    assert caller.balance().held_mtok == 0


def test_what_has_come_counts_at_once_however_slow_a_line_may_be(settings: Settings) -> None:
    """Read in pieces that take longer than the grace, a line as fast as is asked for would seem to send nothing."""
    settings.UPLOAD_GRACE_SECONDS, settings.UPLOAD_BYTES_PER_SECOND = 5.0, 1_000
    here, there = socket.socketpair()
    with here, there:
        sent = [b"x" * 1_000] * 20
        came = Came(sent)
        body = WatchedBody(came, here)
        came.watched = body
        assert body.read(20_000) == b"".join(sent)
        assert not body.late


class Came:
    """A body of which a second's worth comes in each second, by a clock that is only reckoned."""

    def __init__(self, sent: list[bytes]) -> None:
        self.bytes, self.came, self.watched = b"".join(sent), 0, cast(WatchedBody, None)

    def read(self, size: int) -> bytes:
        part = self.bytes[self.came : self.came + size]
        self.came += len(part)
        # It returns when all of this has come, and until then is looked at.
        self.watched.check(self.watched._began + self.came / 1_000)
        return part


def test_a_slow_line_is_served(serve: Callable[[float], Server], caller: Caller) -> None:
    """Longer than the grace, but as fast as is asked for."""
    grace_seconds = 2
    image = picture("BMP", (200, 200))
    first, rest = image[: CHUNK_BYTES + 1], image[CHUNK_BYTES + 1 :]
    with begin(serve(grace_seconds), detect(caller), len(image), first) as connection:
        time.sleep(grace_seconds + 2 * TICK_SECONDS)
        connection.sendall(rest)
        assert b" 202 " in answer(connection)
