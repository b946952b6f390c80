"""Callers that cost next to nothing, so that what is measured is the server: raw keep-alive connections in threads."""

from __future__ import annotations

import socket
import statistics
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import orjson


@dataclass(slots=True)
class Run:
    """What the callers of one run saw: seconds from sending (or from when they should have) to the whole answer."""

    seconds: float = 0.0
    latencies: list[float] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)

    @property
    def rate(self) -> float:
        """Answers per second."""
        return len(self.latencies) / self.seconds

    def percentile(self, percent: int) -> float:
        """Latency in ms that `percent` of the answers did not exceed."""
        return percentile(self.latencies, percent) * 1000

    def overheads(self) -> list[float]:
        """Return, for each answer, the seconds that were not spent in the engine."""
        return [
            latency - orjson.loads(body)["timing"]["inference_ms"] / 1000
            for latency, body in zip(self.latencies, self.bodies, strict=True)
        ]


def percentile(values: Sequence[float], percent: int) -> float:
    """Return the value that `percent` of `values` do not exceed."""
    return statistics.quantiles(values, n=100, method="inclusive")[percent - 1]


def post(path: str, body: bytes, content_type: str, secret: str = "") -> bytes:
    """Return a POST request as it goes over the wire; a cached answer is refused."""
    head = (
        f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: {content_type}\r\nContent-Length: {len(body)}\r\n"
        "Cache-Control: no-cache\r\n"
    )
    if secret:
        head += f"Authorization: Bearer {secret}\r\n"
    return head.encode() + b"\r\n" + body


def run_clients(port: int, requests: Sequence[bytes], *, clients: int, seconds: float, rate: float = 0.0) -> Run:
    """Send `requests` in turn from `clients` connections for `seconds`.

    Each connection sends as soon as it has its answer; with `rate` (requests per second over all connections) they
    send by the clock instead, and a late answer counts from when it should have been asked for. Raises RuntimeError
    for any answer but 200.
    """
    run, lock, errors = Run(), threading.Lock(), []
    begin = time.perf_counter() + 0.05
    end = begin + seconds

    def call(number: int) -> None:
        latencies, bodies = [], []
        interval = clients / rate if rate else 0.0
        due = begin + interval * number / clients
        position = number
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=60) as connection:
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                while True:
                    now = time.perf_counter()
                    if due > now:
                        time.sleep(due - now)
                    began = due if rate else time.perf_counter()
                    if began >= end:
                        break
                    connection.sendall(requests[position % len(requests)])
                    bodies.append(_answer(connection))
                    latencies.append(time.perf_counter() - began)
                    position += clients
                    due += interval
        except Exception as error:
            errors.append(error)
        with lock:
            run.latencies += latencies
            run.bodies += bodies

    threads = [threading.Thread(target=call, args=(number,)) for number in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise RuntimeError(f"{len(errors)} of {clients} callers failed, the first with: {errors[0]}") from errors[0]
    run.seconds = time.perf_counter() - begin
    return run


def _answer(connection: socket.socket) -> bytes:
    received = connection.recv(65536)
    while (end := received.find(b"\r\n\r\n")) < 0:
        more = connection.recv(65536)
        if not more:
            raise RuntimeError(f"the connection was closed after {received[:200]!r}")
        received += more
    head, body = received[:end].lower(), received[end + 4 :]
    length = int(head.split(b"content-length:", 1)[1].split(b"\r\n", 1)[0])
    while len(body) < length:
        body += connection.recv(65536)
    if b" 200 " not in head.split(b"\r\n", 1)[0]:
        raise RuntimeError(f"answer {head.splitlines()[0]!r}: {body[:400]!r}")
    return body
