"""A thousand malformed requests over real HTTP: no server error, no Token moved, memory bounded."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import httpx
import pytest

from billing.models import Plan
from detection.models import Job, ModelVersion
from tenants.scope import organization_scope, platform_scope
from tests.detection.conftest import Caller
from tests.detection.images import picture
from tests.detection.live import Server, live_server
from tests.detection.machine import worker
from tests.detection.malformed import Request, every_request
from tests.factories.billing import assert_ledger_clean

pytestmark = [pytest.mark.usefixtures("committed_db"), pytest.mark.slow, pytest.mark.timeout(900)]

# Bodies of 20 MB are among them: the body, its text and its bytes may be in memory at a time, and no more than that.
ROOM_BYTES = 200_000_000


@pytest.fixture
def server(caller: Caller, tmp_path: Path) -> Iterator[Server]:
    with platform_scope("test"):
        # Jobs that nobody waited for are calls under way.
        Plan.objects.update(concurrency=1000)
    with live_server(tmp_path, LOG_LEVEL="CRITICAL", WEB_ACCESS_LOG="0") as running:
        yield running


class Watch(threading.Thread):
    """Looks at the server's memory as long as it runs."""

    def __init__(self, server: Server) -> None:
        super().__init__(daemon=True)
        self.server, self.peak, self.over = server, 0, threading.Event()

    def run(self) -> None:
        while not self.over.wait(0.02):
            self.peak = max(self.peak, self.server.resident_bytes())

    def stop(self) -> None:
        self.over.set()
        self.join()


def test_no_server_error_no_token_and_no_memory(server: Server, caller: Caller, version: ModelVersion) -> None:
    requests = list(every_request())
    assert len(requests) >= 1000
    assert len({(r.method, r.path, r.content_type, r.body, *r.headers.items()) for r in requests}) >= 1000
    bad: list[str] = []
    spent = 0
    with ExitStack() as stack:
        client = stack.enter_context(httpx.Client(base_url=server.url, timeout=120))
        stack.enter_context(worker(version, lambda _: []))
        client.post("/v1/estimate", json={"model": "blank-n"}, headers={"Authorization": f"Bearer {caller.secret}"})
        before = server.resident_bytes()
        watch = Watch(server)
        watch.start()
        stack.callback(watch.stop)
        for request in requests:
            response = _send(client, request, caller)
            if response is None:
                continue
            if response.status_code >= 500 and response.json().get("code") != "model_not_installed":
                bad.append(f"{response.status_code} {request.what}: {response.text[:200]}")
            elif response.status_code < 400:
                if not request.may_succeed:
                    bad.append(f"{response.status_code} {request.what} was taken")
                if request.path.startswith("/v1/detect") and response.status_code == 200 and request.method == "POST":
                    spent += round(response.json()["usage"]["tokens"] * 1000)
            elif "application/problem+json" not in response.headers["Content-Type"] and not _by_gunicorn(response):
                bad.append(f"{response.status_code} {request.what} is no problem document")
        watch.stop()
    assert not bad, "\n".join(bad[:20])
    print(f"{len(requests)} requests; memory {before / 1e6:.0f} MB before, {watch.peak / 1e6:.0f} MB at most")
    assert watch.peak - before < ROOM_BYTES
    balance = caller.balance()
    assert (balance.available_mtok, balance.held_mtok) == (10_000 - spent, 0)
    with organization_scope(caller.organization_id):
        assert not Job.objects.filter(status__in=["queued", "running"]).exists()
        assert not Job.objects.exclude(status="succeeded").filter(charged_mtok__gt=0).exists()
    assert_ledger_clean()


def _send(client: httpx.Client, request: Request, caller: Caller) -> httpx.Response | None:
    """Return the answer; None where the server has hung up on what is no HTTP."""
    headers = {"Authorization": f"Bearer {caller.secret}"} | request.headers
    if request.content_type is not None:
        headers["Content-Type"] = request.content_type
    encoded = [(name.encode(), value.encode("latin-1")) for name, value in headers.items()]
    try:
        return client.request(request.method, request.path, content=request.body, headers=encoded)
    except (httpx.RemoteProtocolError, httpx.ReadError, httpx.WriteError):
        return None


def _by_gunicorn(response: httpx.Response) -> bool:
    """Say whether the request was no HTTP that could have been handed on."""
    return response.headers.get("Server", "").startswith("gunicorn") and b"<html>" in response.content


LIES = [
    ("Content-Length: 1000", b"short", b" 400 "),
    ("Content-Length: 99999999999", b"", b" 413 "),
    ("Content-Length: -1", b"", b" 400 "),
    ("Content-Length: x", b"", b" 400 "),
    ("Transfer-Encoding: chunked", b"zz\r\nnonsense\r\n0\r\n\r\n", b" 400 "),
    ("Transfer-Encoding: chunked", b"5\r\n\xff\xd8\xff\xe0\x00\r\n0\r\n\r\n", b" 400 "),
    ("Transfer-Encoding: chunked", b"5\r\nabc", b" 400 "),
    ("Transfer-Encoding: chunked", (b"1000000\r\n" + bytes(0x1000000) + b"\r\n") * 2, b" 413 "),
]


def test_lies_about_the_length(server: Server, caller: Caller, version: ModelVersion) -> None:
    for head, body, expected in LIES:
        assert expected in _talk(server, caller, head, body), (head, body[:20])
    assert caller.balance().held_mtok == 0
    image = picture("PNG")
    with worker(version):
        chunks = f"{len(image):x}\r\n".encode() + image + b"\r\n0\r\n\r\n"
        assert b" 200 " in _talk(server, caller, "Transfer-Encoding: chunked", chunks)


def _talk(server: Server, caller: Caller, head: str, body: bytes) -> bytes:
    lines = [
        "POST /v1/detect?model=blank-n HTTP/1.1", "Host: localhost", f"Authorization: Bearer {caller.secret}",
        "Content-Type: image/png", "Connection: close", head,
    ]  # fmt: skip
    with socket.create_connection(("127.0.0.1", server.port), timeout=60) as connection:
        # The answer may come, and the connection end, before everything is sent.
        with suppress(OSError):
            connection.sendall("\r\n".join([*lines, "", ""]).encode() + body)
            connection.shutdown(socket.SHUT_WR)
        return connection.recv(65536).split(b"\r\n")[0]
