"""What is left of a body when a request was refused before anybody read it."""

from __future__ import annotations

import socket
import time

from django.conf import settings
from django.http import HttpRequest

CHUNK_BYTES = 64 * 1024
MOST_SECONDS = 5.0


def discard_body(request: HttpRequest) -> None:
    """Read what the caller is still sending, and forget it, before the answer is sent.

    Most clients read no answer before they have sent everything: a server that closes on them turns a clear refusal
    into a broken connection, and the next request on it fails too. At most what an accepted call may be is read, for at
    most MOST_SECONDS and a chunk at a time, so that a refused call costs no more than an accepted one. Only for a
    server that lends its socket; others look after that themselves.
    """
    connection, body = request.META.get("gunicorn.socket"), request.META.get("wsgi.input")
    if body is None or not isinstance(connection, socket.socket):
        return
    left = settings.MAX_IMAGE_BYTES * 4 // 3 + CHUNK_BYTES
    deadline, patience = time.monotonic() + MOST_SECONDS, connection.gettimeout()
    try:
        while left > 0 and (seconds := deadline - time.monotonic()) > 0:
            connection.settimeout(seconds)
            chunk = body.read(CHUNK_BYTES)
            if not chunk:
                return
            left -= len(chunk)
    except Exception:  # the caller is gone, or sends what is no body: the server closes the connection
        return
    finally:
        connection.settimeout(patience)
