"""Who sends an image a byte at a time is refused, and keeps no thread from anybody; who is only slow is served."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.detection.conftest import Caller
from tests.detection.images import picture
from tests.detection.live import Server, live_server

pytestmark = pytest.mark.usefixtures("committed_db")
THREADS = 2


@pytest.fixture
def server(caller: Caller, tmp_path: Path) -> Iterator[Server]:
    with live_server(
        tmp_path, WEB_THREADS=str(THREADS), UPLOAD_GRACE_SECONDS="1", UPLOAD_BYTES_PER_SECOND="20000"
    ) as running:
        yield running


def begin(server: Server, head: str, length: int) -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", server.port), timeout=30)
    connection.sendall(f"POST {head}\r\nHost: localhost\r\nContent-Length: {length}\r\n\r\n".encode())
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
def test_a_byte_now_and_then_keeps_nobody_waiting(server: Server, caller: Caller, secret: bool) -> None:
    head = detect(caller) if secret else "/v1/detect HTTP/1.1\r\nContent-Type: image/png"
    stop = threading.Event()
    slow = [begin(server, head, 1_000_000) for _ in range(THREADS)]
    threads = [threading.Thread(target=trickle, args=(connection, stop)) for connection in slow]
    for thread in threads:
        thread.start()
    try:
        time.sleep(0.5)
        assert httpx.get(f"{server.url}/healthz", timeout=20).status_code == 200
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


def test_a_slow_line_is_served(server: Server, caller: Caller) -> None:
    """Longer than the grace, but as fast as is asked for."""
    image = picture("BMP", (200, 200))
    with begin(server, detect(caller), len(image)) as connection:
        for start in range(0, len(image), 6_000):
            connection.sendall(image[start : start + 6_000])
            time.sleep(0.1)
        assert b" 202 " in answer(connection)
