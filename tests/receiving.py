"""A live HTTP receiver on this machine for tests of webhooks, that can fail, hang, redirect and work."""

from __future__ import annotations

import hashlib
import hmac
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

# A gate that nobody opens fails a test instead of stopping it.
PATIENCE_SECONDS = 120


@dataclass(frozen=True)
class Received:
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    def is_signed_with(self, secret: str) -> bool:
        """Check the signature as docs/alerts.md tells receivers to, with nothing of the portal's code."""
        parts = [part.split("=", 1) for part in self.headers["Tokensight-Signature"].split(",")]
        (time,) = [value for name, value in parts if name == "t"]
        expected = hmac.new(secret.encode(), time.encode() + b"." + self.body, hashlib.sha256).hexdigest()
        return any(hmac.compare_digest(expected, value) for name, value in parts if name == "v1")


class Receiver:
    """Answers what `statuses` say, one after the other, then the last of them for ever."""

    def __init__(self) -> None:
        self.received: list[Received] = []
        self.statuses = [200]
        self.location = ""
        self.arrivals = threading.Semaphore(0)
        self.gate = threading.Event()
        self.gate.set()
        self.url = ""

    @contextmanager
    def running(self) -> Iterator[Receiver]:
        """Listen on a port of its own."""
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                receiver.received.append(Received(self.path, dict(self.headers), body))
                receiver.arrivals.release()
                receiver.gate.wait(PATIENCE_SECONDS)
                status = receiver.statuses.pop(0) if len(receiver.statuses) > 1 else receiver.statuses[0]
                self.send_response(status)
                if receiver.location:
                    self.send_header("Location", receiver.location)
                self.end_headers()
                self.wfile.write(b"thanks")

            do_GET = do_POST  # noqa: N815

            def log_message(self, *_: object) -> None:
                return

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{server.server_address[1]}/hooks?from=tokensight"
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield self
        finally:
            self.gate.set()
            server.shutdown()
            server.server_close()
