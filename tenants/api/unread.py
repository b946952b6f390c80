"""What is left of a body when a request was refused before anybody read it."""

from __future__ import annotations

from django.conf import settings
from django.http import HttpRequest

from tenants.api.slow_bodies import CHUNK_BYTES, WatchedBody

MOST_SECONDS = 5.0


def discard_body(request: HttpRequest) -> None:
    """Read what the caller is still sending, and forget it, before the answer is sent.

    Most clients read no answer before they have sent everything: a server that closes on them turns a clear refusal
    into a broken connection, and the next request on it fails too. At most what an accepted call may be is read, for at
    most MOST_SECONDS and a chunk at a time, so that a refused call costs no more than an accepted one.
    """
    body = request.META.get("wsgi.input")
    if not isinstance(body, WatchedBody):
        return
    body.hurry(MOST_SECONDS)
    left = settings.MAX_IMAGE_BYTES * 4 // 3 + CHUNK_BYTES
    try:
        while left > 0 and (chunk := body.read(CHUNK_BYTES)):
            left -= len(chunk)
    except Exception:  # the caller is gone, or sends what is no body: the server closes the connection
        return
