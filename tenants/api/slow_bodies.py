"""Bodies that come too slowly: whoever sends a byte now and then must not keep a thread that others wait for.

Reading a body blocks a thread until it has come. A watch of this process ends the reading of those that fall behind:
beyond UPLOAD_GRACE_SECONDS a body must come with UPLOAD_BYTES_PER_SECOND on average.
"""

from __future__ import annotations

import socket
import threading
import time
from contextlib import suppress
from typing import Any

from django.conf import settings

CHUNK_BYTES = 64 * 1024
TICK_SECONDS = 0.5


class WatchedBody:
    """A request's body as WSGI wants it; `late` once it has fallen behind, and then it is at its end."""

    def __init__(self, body: Any, connection: socket.socket) -> None:
        self._body, self._connection = body, connection
        self._began = time.monotonic()
        self._received = 0
        self._ends = float("inf")
        self.late = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._body, name)

    def hurry(self, seconds: float) -> None:
        """Let the rest come within so many seconds from now."""
        self._ends = time.monotonic() + seconds

    def read(self, size: int | None = None) -> bytes:
        """Return `size` bytes, or all without a size; fewer at the end of the body, or when it is late."""
        parts: list[bytes] = []
        left = size if size is not None and size >= 0 else None
        # A read returns when all of it has come: no more than must come in a second, or it would count too late.
        most = min(CHUNK_BYTES, settings.UPLOAD_BYTES_PER_SECOND)
        _watch.add(self)
        try:
            while left is None or left > 0:
                part = b"" if self.late else self._body.read(most if left is None else min(most, left))
                if not part:
                    break
                self._received += len(part)
                left = None if left is None else left - len(part)
                parts.append(part)
        finally:
            _watch.remove(self)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def readline(self, *size: int) -> bytes:
        """Return the next line, as far as it comes in time."""
        _watch.add(self)
        try:
            line: bytes = b"" if self.late else self._body.readline(*size)
        finally:
            _watch.remove(self)
        self._received += len(line)
        return line

    def check(self, now: float) -> None:
        """End the reading if it has fallen behind: the socket then says that nothing more comes."""
        due = self._began + settings.UPLOAD_GRACE_SECONDS + self._received / settings.UPLOAD_BYTES_PER_SECOND
        if now > min(due, self._ends):
            self.late = True
            with suppress(OSError):
                self._connection.shutdown(socket.SHUT_RD)


class _Watch:
    """Looks after the bodies that are being read in this process, with a thread that starts with the first."""

    def __init__(self) -> None:
        self._bodies: set[WatchedBody] = set()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    def add(self, body: WatchedBody) -> None:
        with self._lock:
            self._bodies.add(body)
            # A process that was forked has none of its parent's threads.
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._look, name="slow-bodies", daemon=True)
                self._thread.start()

    def remove(self, body: WatchedBody) -> None:
        with self._lock:
            self._bodies.discard(body)

    def _look(self) -> None:
        while True:
            time.sleep(TICK_SECONDS)
            now = time.monotonic()
            with self._lock:
                for body in self._bodies:
                    body.check(now)


_watch = _Watch()


def watched(environ: dict[str, Any]) -> None:
    """Watch the body of a request; only where the server lends its socket."""
    connection = environ.get("gunicorn.socket")
    if isinstance(connection, socket.socket):
        environ["wsgi.input"] = WatchedBody(environ["wsgi.input"], connection)
