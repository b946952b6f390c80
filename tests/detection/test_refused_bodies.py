"""Who is refused before their image was read gets the refusal, and keeps the connection."""

from __future__ import annotations

import http.client
from collections.abc import Iterator

import pytest

from tests.detection.conftest import Caller
from tests.detection.live import Server, live_server

pytestmark = pytest.mark.usefixtures("committed_db")


@pytest.fixture(scope="module")
def server(django_db_setup: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One for all: whom it refuses it does not know, and who it knows is another one in each test."""
    with live_server(tmp_path_factory.mktemp("server")) as running:
        yield running


@pytest.fixture
def connection(server: Server) -> Iterator[http.client.HTTPConnection]:
    opened = http.client.HTTPConnection("127.0.0.1", server.port, timeout=120)
    yield opened
    opened.close()


def refused(connection: http.client.HTTPConnection, path: str, size: int, secret: str = "tsk_nobody") -> int:
    headers = {"Authorization": f"Bearer {secret}", "Content-Type": "image/jpeg"}
    connection.request("POST", path, b"\xff\xd8" + b"x" * (size - 2), headers)
    answer = connection.getresponse()
    assert b'"code"' in answer.read()
    return answer.status


@pytest.mark.parametrize("size", [100_000, 19_000_000], ids=["a picture", "nearly all that is allowed"])
@pytest.mark.parametrize("path", ["/v1/detect?model=blank-n", "/v1/nowhere"])
def test_the_next_call_on_the_same_connection_is_answered(
    connection: http.client.HTTPConnection, caller: Caller, path: str, size: int
) -> None:
    assert refused(connection, path, size) == (401 if "detect" in path else 404)
    kept = connection.sock
    connection.request("GET", "/v1/balance", headers={"Authorization": f"Bearer {caller.secret}"})
    assert connection.getresponse().status == 200
    assert connection.sock is kept is not None


def test_an_image_that_is_a_little_too_large_is_told_so(connection: http.client.HTTPConnection, caller: Caller) -> None:
    assert refused(connection, "/v1/detect?model=blank-n", 21_000_000, caller.secret) == 413


def test_who_sends_no_more_is_answered_all_the_same(connection: http.client.HTTPConnection) -> None:
    connection.putrequest("POST", "/v1/detect")
    connection.putheader("Content-Type", "image/jpeg")
    connection.putheader("Content-Length", "1000000")
    connection.endheaders(b"\xff\xd8")
    # The rest never comes: a server that waited for it would never answer.
    assert connection.getresponse().status == 401
